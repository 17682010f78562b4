"""The messages between rank 0 and every other rank: one line of JSON per message.

A line holds an object whose ``kind`` is the name of the class in lower case; its other keys are the
fields. Any program may connect to a port, so a message is checked completely when it is parsed:
whatever has passed is safe to use.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mfn_patcher.cluster.heartbeat import Heartbeat
from mfn_patcher.cluster.ports import Target, Unreachable
from mfn_patcher.errors import ExitCode
from mfn_patcher.finding import Finding
from mfn_patcher.training.plan import Resumption
from mfn_patcher.typed_json import decode

GREETING = "mfn-patch 1"
"""Version of the protocol."""
_FOLDER_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Hello:
    """The first message of another rank; `Welcome` or `Refused` answers it.

    Attributes:
        greeting: version of the protocol.
        rank: the rank.
        size: number of ranks.
        local_rank: its number among the ranks of its host.
        host: name of its host.
        command: name of the command, which every rank must run.
    """

    greeting: str
    rank: int
    size: int
    local_rank: int
    host: str
    command: str

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.size and 0 <= self.local_rank < self.size):
            raise ValueError(f"rank {self.rank} of {self.size} does not exist")


@dataclass(frozen=True)
class Welcome:
    """Rank 0 has admitted a rank; `host` is the name of rank 0's host."""

    host: str


@dataclass(frozen=True)
class Refused:
    """Rank 0 has refused a connection."""

    reason: str


@dataclass(frozen=True)
class Facts:
    """What another rank has found on its host.

    Attributes:
        facts: the host facts that must agree.
        findings: findings of the doctor there.
        ports: ports that it holds for its processes.
        taken_ports: ports of its processes that another program uses.
    """

    facts: Mapping[str, str]
    findings: tuple[Finding, ...]
    ports: tuple[int, ...]
    taken_ports: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_ports(self.ports)


@dataclass(frozen=True)
class Reached:
    """The ports of other ranks that a rank could not reach."""

    unreachable: tuple[Unreachable, ...]


@dataclass(frozen=True)
class Ended:
    """The worker of another rank has completed the stage."""


@dataclass(frozen=True)
class Failed:
    """Something failed on another rank, or a signal interrupted it."""

    reason: str
    interrupted: bool


@dataclass(frozen=True)
class Bye:
    """The last message of another rank."""


@dataclass(frozen=True)
class Reach:
    """An order of rank 0: try to connect to ports.

    Attributes:
        lead_address: address of rank 0's host that all ranks use from now on.
        targets: the ports.
    """

    lead_address: str
    targets: tuple[Target, ...]

    def __post_init__(self) -> None:
        for address in (self.lead_address, *(each.address for each in self.targets)):
            ipaddress.IPv4Address(address)
        _check_ports(each.port for each in self.targets)


@dataclass(frozen=True)
class Release:
    """An order of rank 0: free the reserved ports."""


@dataclass(frozen=True)
class Start:
    """An order of rank 0: train a stage.

    Attributes:
        stage: number of the stage.
        run: name of the folder of the run.
        resumption: the run that it resumes.
    """

    stage: int
    run: str
    resumption: Resumption | None

    def __post_init__(self) -> None:
        if not _FOLDER_NAME.fullmatch(self.run):
            raise ValueError(f"{self.run!r} is not the name of a run")


@dataclass(frozen=True)
class Stop:
    """An order of rank 0: stop, because a rank failed.

    Attributes:
        reason: what happened, for messages.
        code: exit code of the other ranks.
    """

    reason: str
    code: ExitCode


@dataclass(frozen=True)
class Done:
    """The last order of rank 0: nothing is left to do."""


def _check_ports(ports: Iterable[int]) -> None:
    for port in ports:
        if not 0 < port < 1 << 16:
            raise ValueError(f"{port} is not a port")


Message = (
    Hello
    | Welcome
    | Refused
    | Facts
    | Reached
    | Heartbeat
    | Ended
    | Failed
    | Bye
    | Reach
    | Release
    | Start
    | Stop
    | Done
)
_KINDS = {kind.__name__.lower(): kind for kind in typing.get_args(Message)}


def to_line(message: Message) -> bytes:
    """Return a message as it is sent."""
    fields = dataclasses.asdict(message)
    return json.dumps({"kind": type(message).__name__.lower(), **fields}).encode() + b"\n"


def parse(line: bytes) -> Message:
    """Return the message that a line holds.

    Raises:
        ValueError: It holds no message, or one with fields that are missing or have wrong values.
    """
    try:
        entry = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError("not a message of mfn-patch")
    message: Message = decode(entry, _KINDS[kind])
    return message
