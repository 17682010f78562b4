"""A rank without a rank 0."""

from __future__ import annotations

import sys

import pytest

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.follower import Follower
from mfn_patcher.cluster.heartbeat import Timing
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.rendezvous import Rendezvous


def test_rank_0_does_not_listen(rendezvous: Rendezvous) -> None:
    rank = Rank(1, 2, 0, 1, "the test")
    with pytest.raises(SetupError, match="cannot reach rank 0 at 127") as error:
        Follower(Job(rank, rendezvous, Timing(0.5)), sys.executable, "train")
    assert "firewall" in error.value.remedy
