from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mfn_patcher.cluster.heartbeat import Timing
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.lead import Lead
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.rendezvous import Rendezvous
from tests.support.launched import free_port
from tests.support.ranks import StartLead


@pytest.fixture
def rendezvous() -> Rendezvous:
    return Rendezvous(("127.0.0.1",), free_port(), "the test")


@pytest.fixture
def lead(rendezvous: Rendezvous) -> Iterator[StartLead]:
    with ExitStack() as entered:

        def begin(size: int, timeout: float = 20) -> Lead:
            rank = Rank(0, size, 0, size, "the test")
            job = Job(rank, rendezvous, Timing(timeout))
            return entered.enter_context(Lead(job, sys.executable, "train"))

        yield begin
