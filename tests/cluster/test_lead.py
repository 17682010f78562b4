"""Rank 0, which listens, and ends the other ranks with it."""

from __future__ import annotations

import sys

import pytest

from mfn_patcher.cluster.errors import SetupError, StoppedError
from mfn_patcher.cluster.heartbeat import Timing
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.lead import Lead
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.rendezvous import Rendezvous
from mfn_patcher.errors import ExitCode
from tests.support.ranks import FACTS, Following, StartLead, never_fails


def test_the_port_of_another_job(rendezvous: Rendezvous, lead: StartLead) -> None:
    lead(2)
    with pytest.raises(SetupError, match=r"rank 0 on .* cannot listen") as error:
        lead(2)
    assert "--rendezvous HOST:PORT" in error.value.remedy


def test_a_rendezvous_on_another_host() -> None:
    rank = Rank(0, 2, 0, 1, "the test")
    elsewhere = Rendezvous(("198.51.100.77",), 29112, "--rendezvous")
    with pytest.raises(SetupError, match=r"198\.51\.100\.77 \(--rendezvous\): not an address of"):
        Lead(Job(rank, elsewhere, Timing(9)), sys.executable, "train")


def test_a_bug_on_rank_0_ends_the_other_ranks(rendezvous: Rendezvous, lead: StartLead) -> None:
    other = Following(rendezvous, 1, 2, FACTS)
    leading = lead(2)
    leading.membership.gather(10, never_fails)
    leading.__exit__(ZeroDivisionError, ZeroDivisionError("a bug"), None)
    other.join(10)
    assert isinstance(other.error, StoppedError)
    assert other.error.exit_code == ExitCode.BUG


def test_the_display_says_where_other_ranks_are(rendezvous: Rendezvous, lead: StartLead) -> None:
    other = Following(rendezvous, 1, 2, FACTS)
    leading = lead(2)
    leading.membership.gather(10, never_fails)
    (line,) = leading.describe()
    assert line == f"{leading.membership.names[1]}: before its first step"
    leading.__exit__(None, None, None)
    other.join(10)
