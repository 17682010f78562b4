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

from mfn_patcher.cluster.channel import GREETING
from mfn_patcher.cluster.errors import FaultError, OrderedError, SetupError
from mfn_patcher.cluster.follower import Follower
from mfn_patcher.cluster.lead import Lead
from mfn_patcher.cluster.ranks import Place, Root
from mfn_patcher.errors import ExitCode, MfnPatchError
from tests.support.launched import free_port

Connect = Callable[..., Lead]


@pytest.fixture
def root() -> Root:
    return Root(("127.0.0.1",), free_port(), "the test")


@pytest.fixture
def lead(root: Root) -> Iterator[Callable[..., Lead]]:
    with ExitStack() as entered:

        def begin(size: int, patience: float = 20) -> Lead:
            place = Place(0, size, 0, size, "the test")
            made = Lead(place, root, sys.executable, "train", patience)
            return entered.enter_context(made)

        yield begin


def follow(root: Root, rank: int, size: int, command: str = "train") -> Follower:
    place = Place(rank, size, rank, size, "the test")
    return Follower(place, root, sys.executable, command, 20)


class Following(threading.Thread):
    """A follower with these facts, and what became of it."""

    def __init__(self, root: Root, rank: int, size: int, facts: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.error: MfnPatchError | None = None
        self._arguments = (root, rank, size)
        self._facts = facts
        self.start()

    def run(self) -> None:
        none: Any = None
        try:
            with follow(*self._arguments) as hands:
                hands.present(self._facts)
                hands.follow((), none, None, lambda _: None)
        except MfnPatchError as error:
            self.error = error


def nothing() -> str | None:
    return None


FACTS = {"chain commit": "a" * 40, "numpy": "1.23.5"}


def test_ranks_agree_and_reach_each_other(root: Root, lead: Connect) -> None:
    others = [Following(root, rank, 3, FACTS) for rank in (1, 2)]
    crew = lead(3)
    crew.gather(10, nothing)
    crew.agree(FACTS)
    crew.__exit__(None, None, None)
    for other in others:
        other.join(10)
        assert not other.is_alive()
        assert other.error is None


def test_what_differs_is_named_by_host(root: Root, lead: Connect) -> None:
    others = [Following(root, 1, 3, FACTS), Following(root, 2, 3, {**FACTS, "numpy": "1.22.4"})]
    crew = lead(3)
    crew.gather(10, nothing)
    with pytest.raises(SetupError) as error:
        crew.agree({**FACTS, "data set": "d" * 64})
    host = socket.gethostname()
    lines = str(error.value).splitlines()
    assert f"  rank 2 on {host}: numpy is 1.22.4, and on rank 0 1.23.5" in lines
    assert f"  rank 1 on {host}: data set is missing, and on rank 0 {'d' * 60}..." in lines
    assert len(lines) == 4
    crew.__exit__(SetupError, error.value, None)
    for other in others:
        other.join(10)
        assert isinstance(other.error, OrderedError)
        assert other.error.exit_code == ExitCode.ERROR
        assert "the hosts don't agree" in str(other.error)


def test_a_rank_that_does_not_come_is_named(root: Root, lead: Connect) -> None:
    Following(root, 2, 4, FACTS)
    crew = lead(4)
    with pytest.raises(SetupError, match=r"of 4 ranks, 1, 3 did not come to rank 0 at 127\.0"):
        crew.gather(1, nothing)


def test_a_rank_that_ssh_could_not_start(root: Root, lead: Connect) -> None:
    crew = lead(2)
    began = time.monotonic()
    with pytest.raises(SetupError, match="ssh c ended with 255"):
        crew.gather(60, lambda: "rank 1 was not started: ssh c ended with 255")
    assert time.monotonic() - began < 30


def test_nobody_listens(root: Root) -> None:
    place = Place(1, 2, 0, 1, "the test")
    with pytest.raises(SetupError, match="can't reach rank 0 at 127") as error:
        Follower(place, root, sys.executable, "train", 0.5)
    assert "firewall" in error.value.remedy


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        ((1, 3, "train"), "rank 0 is of another job: train with 2 ranks"),
        ((1, 2, "doctor"), "rank 0 is of another job"),
        ((0, 2, "train"), "there is a rank 0 already"),
    ],
)
def test_strangers_are_refused(
    root: Root, lead: Connect, stranger: tuple[int, int, str], reason: str
) -> None:
    lead(2)
    with pytest.raises(SetupError, match=reason) as error:
        follow(root, *stranger)
    assert "--rendezvous HOST:PORT" in error.value.remedy


def test_what_is_no_rank_at_all_does_no_harm(root: Root, lead: Connect) -> None:
    crew = lead(2)
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"{}\n", b'{"kind": 7}\n', b""):
        with socket.create_connection(("127.0.0.1", root.port)) as stranger:
            stranger.sendall(sent)
    Following(root, 1, 2, FACTS)
    crew.gather(10, nothing)
    crew.agree(FACTS)


def test_a_port_that_is_taken(root: Root, lead: Connect) -> None:
    crew = lead(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", root.port + 4))
        taken.listen()
        Following(root, 1, 2, FACTS)
        crew.gather(10, nothing)
        with pytest.raises(SetupError, match=f"rank 1 on .*: port {root.port + 4} is taken"):
            crew.agree(FACTS)


def test_a_second_training_on_the_port(root: Root, lead: Connect) -> None:
    lead(2)
    with pytest.raises(SetupError, match="rank 0 can't listen") as error:
        lead(2)
    assert "--rendezvous HOST:PORT" in error.value.remedy


def test_a_root_that_is_elsewhere() -> None:
    place = Place(0, 2, 0, 1, "the test")
    with pytest.raises(
        SetupError, match=r"198\.51\.100\.77 \(--rendezvous\) is none of its addresses"
    ):
        Lead(place, Root(("198.51.100.77",), 29112, "--rendezvous"), sys.executable, "train", 9)


def hello(root: Root, rank: int = 1, size: int = 2) -> socket.socket:
    """A rank that says hello, and nothing more."""
    connection = socket.create_connection(("127.0.0.1", root.port))
    greeting = {"kind": "hello", "greeting": GREETING, "rank": rank, "size": size}
    line = json.dumps({**greeting, "local_rank": rank, "host": "c", "command": "train"})
    connection.sendall(line.encode() + b"\n")
    return connection


def test_a_rank_of_which_nothing_is_heard(root: Root, lead: Connect) -> None:
    crew = lead(2, 2)
    with hello(root):
        crew.gather(10, nothing)
        with pytest.raises(FaultError, match="nothing is heard of rank 1 on c since 1 s") as error:
            crew.collect(FACTS)
    assert error.value.exit_code == ExitCode.CLUSTER


def test_a_host_that_hears_of_nobody(root: Root, lead: Connect) -> None:
    crew = lead(3, 2)
    with hello(root, 1, 3), hello(root, 2, 3):
        crew.gather(10, nothing)
        with pytest.raises(FaultError) as error:
            crew.collect(FACTS)
    assert {"rank 1 on c", "rank 2 on c"} <= set(re.findall(r"rank . on c", str(error.value)))
    assert "those hosts are down, or the network to there" in str(error.value)


def test_a_rank_that_is_gone(root: Root, lead: Connect) -> None:
    crew = lead(2)
    connection = hello(root)
    crew.gather(10, nothing)
    connection.close()
    with pytest.raises(FaultError, match="the connection to rank 1 on c ended without a word"):
        crew.collect(FACTS)


def test_a_bug_of_rank_0_ends_the_others_too(root: Root, lead: Connect) -> None:
    other = Following(root, 1, 2, FACTS)
    crew = lead(2)
    crew.gather(10, nothing)
    crew.__exit__(ZeroDivisionError, ZeroDivisionError("a bug"), None)
    other.join(10)
    assert isinstance(other.error, OrderedError)
    assert other.error.exit_code == ExitCode.BUG
