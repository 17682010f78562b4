"""Ranks without heartbeats."""

from __future__ import annotations

import re

import pytest

from mfn_patcher.cluster.errors import FaultError
from mfn_patcher.cluster.rendezvous import Rendezvous
from mfn_patcher.errors import ExitCode
from tests.support.ranks import FACTS, StartLead, never_fails, say_hello


def test_a_silent_rank(rendezvous: Rendezvous, lead: StartLead) -> None:
    leading = lead(2, 2)
    with say_hello(rendezvous):
        leading.membership.gather(10, never_fails)
        with pytest.raises(FaultError, match="no heartbeat from rank 1 on c for 1 s") as error:
            leading.compare_facts(FACTS)
    assert error.value.exit_code == ExitCode.CLUSTER


def test_all_other_ranks_are_silent(rendezvous: Rendezvous, lead: StartLead) -> None:
    leading = lead(3, 2)
    with say_hello(rendezvous, 1, 3), say_hello(rendezvous, 2, 3):
        leading.membership.gather(10, never_fails)
        with pytest.raises(FaultError) as error:
            leading.compare_facts(FACTS)
    assert {"rank 1 on c", "rank 2 on c"} <= set(re.findall(r"rank . on c", str(error.value)))
    assert "these hosts are down, or the network is" in str(error.value)
