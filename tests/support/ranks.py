"""Ranks that run in the process of a test, on loopback."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from mfn_patcher.cluster.follower import Follower
from mfn_patcher.cluster.heartbeat import Timing
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.lead import Lead
from mfn_patcher.cluster.messages import GREETING, Hello, to_line
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.rendezvous import Rendezvous
from mfn_patcher.engine import MXNET
from mfn_patcher.errors import MfnPatchError

StartLead = Callable[..., Lead]
"""Starts rank 0 of so many ranks, with a timeout."""
FACTS = {"chain commit": "a" * 40, "numpy": "1.23.5"}


def follow(rendezvous: Rendezvous, rank: int, size: int, command: str = "train") -> Follower:
    """Join the job of rank 0."""
    joining = Rank(rank, size, rank, size, "the test")
    return Follower(Job(joining, rendezvous, Timing(20)), sys.executable, command)


class Following(threading.Thread):
    """A follower in a thread of its own, and the error that ended it.

    Args:
        rendezvous: where rank 0 listens.
        rank: the rank.
        size: number of ranks.
        facts: facts of its host.
        engine: name of the engine that trains.
    """

    def __init__(
        self,
        rendezvous: Rendezvous,
        rank: int,
        size: int,
        facts: dict[str, str],
        engine: str = MXNET,
    ) -> None:
        super().__init__(daemon=True)
        self.error: MfnPatchError | None = None
        self._arguments = (rendezvous, rank, size)
        self._facts = facts
        self._engine = engine
        self.start()

    def run(self) -> None:
        """Do what rank 0 orders."""
        none: Any = None
        try:
            with follow(*self._arguments) as follower:
                follower.present(self._facts, self._engine)
                follower.follow((), none, None)
        except MfnPatchError as error:
            self.error = error


def never_fails() -> str | None:
    """Return why a rank could not be started: none failed."""
    return None


def say_hello(rendezvous: Rendezvous, rank: int = 1, size: int = 2) -> socket.socket:
    """Join as a rank that sends nothing further; return its connection."""
    connection = socket.create_connection(("127.0.0.1", rendezvous.port))
    connection.sendall(to_line(Hello(GREETING, rank, size, rank, "c", "train")))
    return connection
