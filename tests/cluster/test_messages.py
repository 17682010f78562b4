"""Messages, and everything else that may arrive at a port."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfn_patcher.cluster.errors import FaultError, SetupError
from mfn_patcher.cluster.follower import Follower
from mfn_patcher.cluster.heartbeat import Heartbeat, Timing
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.messages import (
    GREETING,
    Bye,
    Done,
    Ended,
    Facts,
    Failed,
    Hello,
    Message,
    Reach,
    Reached,
    Refused,
    Release,
    Start,
    Stop,
    Welcome,
    parse,
    to_line,
)
from mfn_patcher.cluster.ports import Target, Unreachable, listen
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.rendezvous import Rendezvous
from mfn_patcher.engine import MXNET
from mfn_patcher.errors import ExitCode
from mfn_patcher.finding import Finding, Level
from mfn_patcher.training.plan import Resumption
from tests.support.ranks import FACTS, Following, StartLead, never_fails, say_hello

HELLO = Hello(GREETING, 1, 2, 1, "c", "train")
FROM_OTHERS: tuple[Message, ...] = (
    Facts(FACTS, (Finding(Level.ERROR, "disk", "full", "Free some."),), (29112,), (29113,)),
    Reached((Unreachable(0, "10.0.0.1", 29113, "refused"),)),
    Heartbeat(7, "compute", 0.5, {"worker": "R"}),
    Ended(),
    Failed("the worker crashed", interrupted=False),
    Bye(),
)
FROM_RANK_0: tuple[Message, ...] = (
    Reach("10.0.0.1", (Target(1, "10.0.0.2", 29114),)),
    Release(),
    Start(3, "20260101T000000Z-stage3-arcface", Resumption("20260101T000000Z", 2)),
    Stop("rank 1 failed", ExitCode.CLUSTER),
    Done(),
    Heartbeat(),
)
MESSAGES = (HELLO, Welcome("a"), Refused("another job"), *FROM_OTHERS, *FROM_RANK_0)
WRONG: tuple[object, ...] = (
    None,
    True,
    -1,
    1e400,
    10**400,
    "\udc80",
    [],
    {},
    [[]],
    [{}],
    {"a": 1},
    "../../run",
    "\0",
)

# A machine that does other things, too, draws slowly.
ON_ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def damaged(message: Message) -> Iterator[bytes]:
    """Yield a message without each field, with other values of it, and other lines."""
    whole: dict[str, Any] = json.loads(to_line(message))
    for name in whole:
        yield json.dumps({key: value for key, value in whole.items() if key != name}).encode()
        for wrong in WRONG:
            yield json.dumps({**whole, name: wrong}).encode()
    yield from (
        b"GET / HTTP/1.1\r",
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        b'{"kind": "\xff"}',
        b"7",
        b"",
    )
    yield b" " * (1 << 22) + to_line(message)


def is_refused(line: bytes) -> bool:
    try:
        parse(line)
    except ValueError:
        return True
    return False


@pytest.fixture(autouse=True)
def _no_thread_may_fail(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    yield
    assert failed == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda it: type(it).__name__)
def test_messages_arrive_as_they_were_sent(message: Message) -> None:
    assert parse(to_line(message)) == message


@ON_ANY_MACHINE
@given(st.sampled_from(MESSAGES), st.data())
def test_anything_else_is_refused_and_nothing_fails(message: Message, data: st.DataObject) -> None:
    entry = json.loads(to_line(message))
    for name in data.draw(st.sets(st.sampled_from(sorted(entry)))):
        entry[name] = data.draw(json_values)
    entry |= data.draw(st.dictionaries(st.sampled_from(sorted(entry)), json_values, max_size=2))
    line = json.dumps(entry).encode()
    if not is_refused(line):
        assert is_refused(line[:-1])
        found = parse(line)
        assert parse(to_line(found)) == found


@ON_ANY_MACHINE
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_message_is_refused(line: bytes) -> None:
    assert is_refused(line)


@pytest.mark.parametrize("message", [HELLO, *FROM_OTHERS, *FROM_RANK_0], ids=repr)
def test_each_field_is_checked(message: Message) -> None:
    whole = json.loads(to_line(message))
    for name in whole:
        assert is_refused(json.dumps({key: whole[key] for key in whole if key != name}).encode())
        assert is_refused(json.dumps({**whole, name: [[]]}).encode())


@pytest.mark.parametrize(
    "line",
    [
        to_line(HELLO).replace(b'"rank": 1', b'"rank": 2'),
        to_line(HELLO).replace(b'"local_rank": 1', b'"local_rank": 1000000'),
        to_line(FROM_RANK_0[0]).replace(b"29114", b"70000"),
        to_line(FROM_OTHERS[0]).replace(b"29112", b"0"),
        to_line(FROM_RANK_0[0]).replace(b"10.0.0.1", b"a\\u0000b"),
        to_line(FROM_RANK_0[2]).replace(b'"run": "2', b'"run": "../2'),
        to_line(FROM_OTHERS[2]).replace(b'"age": 0.5', b'"age": NaN'),
        to_line(FROM_OTHERS[2]).replace(b'"age": 0.5', b'"age": 1e999'),
        to_line(FROM_OTHERS[2]).replace(b'"age": 0.5', b'"age": 1' + b"0" * 400),
        to_line(FROM_RANK_0[3]).replace(b'"code": 5', b'"code": 99'),
        to_line(FROM_RANK_0[3]).replace(b'"code": 5', b'"code": true'),
    ],
)
def test_values_that_make_no_sense_are_refused(line: bytes) -> None:
    assert is_refused(line)


def test_foreign_programs_do_not_disturb_rank_0(
    rendezvous: Rendezvous, lead: StartLead, caplog: pytest.LogCaptureFixture
) -> None:
    leading = lead(2)
    for line in filter(is_refused, damaged(HELLO)):
        answer = b""
        with (
            socket.create_connection(("127.0.0.1", rendezvous.port)) as stranger,
            # Rank 0 does not read the rest of a message that is too long.
            contextlib.suppress(ConnectionError),
        ):
            stranger.sendall(line + b"\n")
            answer = stranger.makefile("rb").readline()
        assert answer in (to_line(Refused(f"rank 0 speaks {GREETING}")), b""), line
    assert "invalid message from 127.0.0.1: local_rank is missing" in caplog.text
    Following(rendezvous, 1, 2, FACTS)
    leading.membership.gather(10, never_fails)
    leading.require_agreement(FACTS, MXNET)


@pytest.mark.parametrize("message", FROM_OTHERS, ids=lambda it: type(it).__name__)
def test_a_rank_that_sends_an_invalid_message_is_lost(
    rendezvous: Rendezvous, lead: StartLead, message: Message
) -> None:
    leading = lead(2)
    connection = say_hello(rendezvous)
    leading.membership.gather(10, never_fails)
    connection.sendall(next(filter(is_refused, damaged(message))) + b"\n")
    with pytest.raises(FaultError, match="the connection to rank 1 on c was lost"):
        leading.compare_facts(FACTS)
    connection.close()


class FakeRank0(threading.Thread):
    """A program that answers the first connection with given lines."""

    def __init__(self, rendezvous: Rendezvous, *lines: bytes) -> None:
        super().__init__(daemon=True)
        self._listening = listen("127.0.0.1", rendezvous.port)
        self._lines = lines
        self.start()

    def run(self) -> None:
        with self._listening, self._listening.accept()[0] as connection:
            connection.sendall(b"".join(self._lines))
            while connection.recv(1 << 16):
                pass


def join(rendezvous: Rendezvous) -> Follower:
    job = Job(Rank(1, 2, 1, 2, "the test"), rendezvous, Timing(20))
    return Follower(job, sys.executable, "train")


@pytest.mark.parametrize("line", [*filter(is_refused, damaged(Welcome("a"))), to_line(HELLO)[:-1]])
def test_a_foreign_program_in_the_place_of_rank_0(rendezvous: Rendezvous, line: bytes) -> None:
    FakeRank0(rendezvous, line, b"\n")
    with pytest.raises(SetupError, match=r"was refused at 127.*: no valid answer") as error:
        join(rendezvous)
    assert "--rendezvous HOST:PORT" in error.value.remedy


@pytest.mark.parametrize("message", FROM_RANK_0, ids=lambda it: type(it).__name__)
def test_an_invalid_order_ends_the_connection(rendezvous: Rendezvous, message: Message) -> None:
    line = next(filter(is_refused, damaged(message)))
    FakeRank0(rendezvous, to_line(Welcome("a")), line, b"\n")
    nothing: Any = None
    with (
        pytest.raises(FaultError, match="the connection to rank 0 on a was lost"),
        join(rendezvous) as follower,
    ):
        follower.follow((), nothing, None)


def test_a_stage_without_a_plan(rendezvous: Rendezvous) -> None:
    FakeRank0(rendezvous, to_line(Welcome("a")), to_line(FROM_RANK_0[2]))
    anything: Any = object()
    with (
        pytest.raises(FaultError, match="rank 0 started stage 3, which has no plan here"),
        join(rendezvous) as follower,
    ):
        follower.follow((), anything, anything)
