"""Ranks that find each other, agree or not, and are missed: all in this process, on loopback."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from mfn_patcher.cluster.errors import FaultError, SetupError, StoppedError
from mfn_patcher.cluster.follower import Follower
from mfn_patcher.cluster.heartbeat import Timing
from mfn_patcher.cluster.lead import Lead
from mfn_patcher.cluster.protocol import GREETING
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.rendezvous import Rendezvous
from mfn_patcher.errors import ExitCode, MfnPatchError
from tests.support.launched import free_port

Connect = Callable[..., Lead]


@pytest.fixture
def rendezvous() -> Rendezvous:
    return Rendezvous(("127.0.0.1",), free_port(), "the test")


@pytest.fixture
def lead(rendezvous: Rendezvous) -> Iterator[Callable[..., Lead]]:
    with ExitStack() as entered:

        def begin(size: int, timeout: float = 20) -> Lead:
            rank = Rank(0, size, 0, size, "the test")
            made = Lead(rank, rendezvous, sys.executable, "train", Timing(timeout))
            return entered.enter_context(made)

        yield begin


def follow(rendezvous: Rendezvous, rank: int, size: int, command: str = "train") -> Follower:
    joining = Rank(rank, size, rank, size, "the test")
    return Follower(joining, rendezvous, sys.executable, command, Timing(20))


class Following(threading.Thread):
    """A follower with these facts, and what became of it."""

    def __init__(self, rendezvous: Rendezvous, rank: int, size: int, facts: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.error: MfnPatchError | None = None
        self._arguments = (rendezvous, rank, size)
        self._facts = facts
        self.start()

    def run(self) -> None:
        none: Any = None
        try:
            with follow(*self._arguments) as follower:
                follower.present(self._facts)
                follower.follow((), none, None)
        except MfnPatchError as error:
            self.error = error


def nothing() -> str | None:
    return None


FACTS = {"chain commit": "a" * 40, "numpy": "1.23.5"}


def test_ranks_agree_and_reach_each_other(rendezvous: Rendezvous, lead: Connect) -> None:
    others = [Following(rendezvous, rank, 3, FACTS) for rank in (1, 2)]
    leading = lead(3)
    leading.membership.gather(10, nothing)
    leading.require_agreement(FACTS)
    leading.__exit__(None, None, None)
    for other in others:
        other.join(10)
        assert not other.is_alive()
        assert other.error is None


def test_what_differs_is_named_by_host(rendezvous: Rendezvous, lead: Connect) -> None:
    others = [
        Following(rendezvous, 1, 3, FACTS),
        Following(rendezvous, 2, 3, {**FACTS, "numpy": "1.22.4"}),
    ]
    leading = lead(3)
    leading.membership.gather(10, nothing)
    with pytest.raises(SetupError) as error:
        leading.require_agreement({**FACTS, "data set": "d" * 64})
    host = socket.gethostname()
    lines = str(error.value).splitlines()
    assert f"  rank 2 on {host}: numpy is 1.22.4, but 1.23.5 on rank 0" in lines
    assert f"  rank 1 on {host}: data set is missing, but {'d' * 60}... on rank 0" in lines
    assert len(lines) == 4
    leading.__exit__(SetupError, error.value, None)
    for other in others:
        other.join(10)
        assert isinstance(other.error, StoppedError)
        assert other.error.exit_code == ExitCode.ERROR
        assert "the hosts differ" in str(other.error)


def test_a_rank_that_does_not_come_is_named(rendezvous: Rendezvous, lead: Connect) -> None:
    Following(rendezvous, 2, 4, FACTS)
    leading = lead(4)
    with pytest.raises(
        SetupError, match=r"ranks 1, 3 of 4 did not connect to rank 0 at port \d+ of "
    ):
        leading.membership.gather(1, nothing)


def test_a_rank_that_ssh_could_not_start(rendezvous: Rendezvous, lead: Connect) -> None:
    leading = lead(2)
    began = time.monotonic()
    with pytest.raises(SetupError, match="ssh c exited with status 255"):
        leading.membership.gather(60, lambda: "cannot start rank 1: ssh c exited with status 255")
    assert time.monotonic() - began < 30


def test_nobody_listens(rendezvous: Rendezvous) -> None:
    rank = Rank(1, 2, 0, 1, "the test")
    with pytest.raises(SetupError, match="cannot reach rank 0 at 127") as error:
        Follower(rank, rendezvous, sys.executable, "train", Timing(0.5))
    assert "firewall" in error.value.remedy


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        ((1, 3, "train"), "rank 0 belongs to another job: train with 2 ranks"),
        ((1, 2, "doctor"), "rank 0 belongs to another job"),
        ((0, 2, "train"), "rank 0 has already joined"),
    ],
)
def test_strangers_are_refused(
    rendezvous: Rendezvous, lead: Connect, stranger: tuple[int, int, str], reason: str
) -> None:
    lead(2)
    with pytest.raises(SetupError, match=reason) as error:
        follow(rendezvous, *stranger)
    assert "--rendezvous HOST:PORT" in error.value.remedy


def test_what_is_no_rank_at_all_does_no_harm(rendezvous: Rendezvous, lead: Connect) -> None:
    leading = lead(2)
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"{}\n", b'{"kind": 7}\n', b""):
        with socket.create_connection(("127.0.0.1", rendezvous.port)) as stranger:
            stranger.sendall(sent)
    Following(rendezvous, 1, 2, FACTS)
    leading.membership.gather(10, nothing)
    leading.require_agreement(FACTS)


def test_a_port_that_is_taken(rendezvous: Rendezvous, lead: Connect) -> None:
    leading = lead(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", rendezvous.port + 4))
        taken.listen()
        Following(rendezvous, 1, 2, FACTS)
        leading.membership.gather(10, nothing)
        with pytest.raises(SetupError, match=f"rank 1 on .*: port {rendezvous.port + 4} is taken"):
            leading.require_agreement(FACTS)


def test_a_second_training_on_the_port(rendezvous: Rendezvous, lead: Connect) -> None:
    lead(2)
    with pytest.raises(SetupError, match=r"rank 0 on .* cannot listen") as error:
        lead(2)
    assert "--rendezvous HOST:PORT" in error.value.remedy


def test_a_rendezvous_that_is_elsewhere() -> None:
    rank = Rank(0, 2, 0, 1, "the test")
    elsewhere = Rendezvous(("198.51.100.77",), 29112, "--rendezvous")
    with pytest.raises(SetupError, match=r"198\.51\.100\.77 \(--rendezvous\): not an address of"):
        Lead(rank, elsewhere, sys.executable, "train", Timing(9))


def hello(rendezvous: Rendezvous, rank: int = 1, size: int = 2) -> socket.socket:
    """A rank that says hello, and nothing more."""
    connection = socket.create_connection(("127.0.0.1", rendezvous.port))
    greeting = {"kind": "hello", "greeting": GREETING, "rank": rank, "size": size}
    line = json.dumps({**greeting, "local_rank": rank, "host": "c", "command": "train"})
    connection.sendall(line.encode() + b"\n")
    return connection


def test_a_rank_of_which_nothing_is_heard(rendezvous: Rendezvous, lead: Connect) -> None:
    leading = lead(2, 2)
    with hello(rendezvous):
        leading.membership.gather(10, nothing)
        with pytest.raises(FaultError, match="no heartbeat from rank 1 on c for 1 s") as error:
            leading.compare_facts(FACTS)
    assert error.value.exit_code == ExitCode.CLUSTER


def test_a_host_that_hears_of_nobody(rendezvous: Rendezvous, lead: Connect) -> None:
    leading = lead(3, 2)
    with hello(rendezvous, 1, 3), hello(rendezvous, 2, 3):
        leading.membership.gather(10, nothing)
        with pytest.raises(FaultError) as error:
            leading.compare_facts(FACTS)
    assert {"rank 1 on c", "rank 2 on c"} <= set(re.findall(r"rank . on c", str(error.value)))
    assert "these hosts are down, or the network is" in str(error.value)


def test_a_rank_that_is_gone(rendezvous: Rendezvous, lead: Connect) -> None:
    leading = lead(2)
    connection = hello(rendezvous)
    leading.membership.gather(10, nothing)
    connection.close()
    with pytest.raises(FaultError, match="the connection to rank 1 on c was lost"):
        leading.compare_facts(FACTS)


def test_a_bug_of_rank_0_ends_the_others_too(rendezvous: Rendezvous, lead: Connect) -> None:
    other = Following(rendezvous, 1, 2, FACTS)
    leading = lead(2)
    leading.membership.gather(10, nothing)
    leading.__exit__(ZeroDivisionError, ZeroDivisionError("a bug"), None)
    other.join(10)
    assert isinstance(other.error, StoppedError)
    assert other.error.exit_code == ExitCode.BUG
