"""The ranks that have joined rank 0: their connections, what they report, and the first fault."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mfn_patcher.cluster.errors import FaultError, SetupError
from mfn_patcher.cluster.heartbeat import Heartbeat
from mfn_patcher.cluster.messages import (
    GREETING,
    Bye,
    Ended,
    Facts,
    Failed,
    Hello,
    Message,
    Reached,
    Refused,
    Stop,
    Welcome,
)
from mfn_patcher.cluster.ports import Unreachable
from mfn_patcher.cluster.protocol import Connection
from mfn_patcher.cluster.ranks import Rank, rank_name
from mfn_patcher.errors import ExitCode

_HELLO_SECONDS = 5
_POLL_SECONDS = 0.2


@dataclass
class Member:
    """A rank other than 0, and what it has reported.

    Attributes:
        number: the rank.
        host: name of its host.
        local_rank: its number among the ranks of that host.
        connection: connection to it.
        facts: what it has found on its host; None until reported.
        unreachable: ports of other ranks that it cannot reach; None until reported.
        heartbeat: its last heartbeat.
        ended: whether its worker has completed the stage.
        leaving: whether it has said goodbye.
    """

    number: int
    host: str
    local_rank: int
    connection: Connection
    facts: Facts | None = None
    unreachable: Sequence[Unreachable] | None = None
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    ended: bool = False
    leaving: bool = False

    @property
    def name(self) -> str:
        """Name of the rank in messages."""
        return rank_name(self.number, self.host)

    def heartbeat_now(self) -> Heartbeat:
        """Return the last heartbeat, with the age that it has by now."""
        age = self.heartbeat.age + self.connection.silence()
        return dataclasses.replace(self.heartbeat, age=age)


@dataclass(frozen=True)
class Fault:
    """Why a job ends.

    Attributes:
        reason: what happened, for messages.
        lost_host: whether a host stopped answering.
    """

    reason: str
    lost_host: bool = False


class Membership:
    """Admits the other ranks and listens to them, in threads of its own.

    Args:
        rank: rank 0.
        host: name of this host.
        command: command of the tool, which every rank must run.
        listening: the socket at which the other ranks connect.

    Attributes:
        fault: the first fault of any rank; None while there is none.
        interrupted: whether a signal ended a rank.
        closing: set when the job is over.
    """

    def __init__(self, rank: Rank, host: str, command: str, listening: socket.socket) -> None:
        self.fault: Fault | None = None
        self.interrupted = False
        self.closing = threading.Event()
        self._rank = rank
        self._host = host
        self._command = command
        self._listening = listening
        self._members: dict[int, Member] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def members(self) -> list[Member]:
        """The other ranks that have joined, in order."""
        return [member for _, member in sorted(self._members.items())]

    @property
    def names(self) -> dict[int, str]:
        """Names of all ranks in messages, rank 0 included."""
        names = {member.number: member.name for member in self.members}
        return {0: rank_name(0, self._host), **names}

    def gather(self, timeout: float, failure: Callable[[], str | None]) -> None:
        """Wait until all ranks have joined.

        Args:
            timeout: seconds to wait.
            failure: polled for the reason why a rank cannot join.

        Raises:
            SetupError: A rank did not join.
        """
        expected = range(1, self._rank.size)
        end = time.monotonic() + timeout
        while len(self._members) < len(expected) and time.monotonic() < end:
            if reason := failure():
                raise SetupError(reason, remedy="See the message of ssh or of that rank.")
            self.wait(lambda: len(self._members) == len(expected), _POLL_SECONDS)
        missing = [str(number) for number in expected if number not in self._members]
        if missing:
            plural = "s" if missing[1:] else ""
            raise SetupError(
                f"rank{plural} {', '.join(missing)} of {self._rank.size} did not connect to rank "
                f"0 at port {self._listening.getsockname()[1]} of {self._host} within "
                f"{timeout:.0f} s",
                remedy="See the messages of these ranks; a connection that times out points to a "
                "firewall.",
            )

    def send_all(self, message: Message) -> None:
        """Send a message to all other ranks."""
        for member in self.members:
            member.connection.send(message)

    def fail(
        self, reason: str, code: ExitCode = ExitCode.CLUSTER, *, lost_host: bool = False
    ) -> Fault:
        """End the job on all ranks, unless it has already failed.

        Args:
            reason: what happened, for messages.
            code: exit code of the other ranks.
            lost_host: whether a host stopped answering.

        Returns:
            The first fault, which may be an earlier one.
        """
        with self._changed:
            if self.fault is None:
                self.fault = Fault(reason, lost_host)
                self.send_all(Stop(reason, code))
                self._changed.notify_all()
            return self.fault

    def interrupt(self, reason: str) -> None:
        """End the job on all ranks because this one was interrupted."""
        self.interrupted = True
        self.fail(reason, ExitCode.INTERRUPTED)

    def raise_fault(self) -> None:
        """Raise the first fault, if there is one.

        Raises:
            FaultError: A rank failed.
        """
        if self.fault:
            raise FaultError(self.fault.reason)

    def wait(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        """Wait until `condition` holds, a rank fails, or `timeout` seconds have passed."""
        with self._changed:
            self._changed.wait_for(lambda: self.fault is not None or condition(), timeout)

    def silent(self, seconds: float) -> list[Member]:
        """Return the ranks that have sent nothing for this many seconds."""
        return [
            member
            for member in self.members
            if not member.leaving and member.connection.silence() > seconds
        ]

    def common_address(self, default: str) -> str:
        """Return the address of this host to which most ranks have connected."""
        used = Counter(member.connection.local_address for member in self.members)
        return used.most_common(1)[0][0] if used else default

    def start_stage(self) -> None:
        """Forget what the other ranks reported about the stage before."""
        for member in self.members:
            member.ended, member.heartbeat = False, Heartbeat()

    def close(self, timeout: float) -> None:
        """Close all connections.

        Args:
            timeout: seconds to wait until the other ranks have said goodbye.
        """
        self.closing.set()
        with self._changed:
            self._changed.wait_for(lambda: all(each.leaving for each in self.members), timeout)
        self._listening.close()
        for member in self.members:
            member.connection.close()

    # -- threads --------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connected, (address, _) = self._listening.accept()
            except OSError:
                return
            connection = Connection(connected, address)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        hello = connection.receive(_HELLO_SECONDS)
        if isinstance(hello, Hello) and hello.greeting == GREETING:
            if member := self._admit(connection, hello):
                self._listen_to(member)
                return
        else:
            connection.send(Refused(f"rank 0 speaks {GREETING}"))
        connection.close()

    def _admit(self, connection: Connection, hello: Hello) -> Member | None:
        reason = ""
        if (hello.size, hello.command) != (self._rank.size, self._command):
            reason = f"rank 0 belongs to another job: {self._command} with {self._rank.size} ranks"
        with self._changed:
            if not reason and hello.rank in {0, *self._members}:
                reason = f"rank {hello.rank} has already joined"
            if reason:
                connection.send(Refused(reason))
                return None
            member = Member(hello.rank, hello.host, hello.local_rank, connection)
            self._members[member.number] = member
            connection.send(Welcome(self._host))
            self._changed.notify_all()
        return member

    def _listen_to(self, member: Member) -> None:
        while (message := member.connection.receive()) is not None:
            with self._changed:
                self._handle(member, message)
                self._changed.notify_all()
        with self._changed:
            if not member.leaving and not self.closing.is_set():
                self.fail(
                    f"the connection to {member.name} was lost; it was "
                    f"{member.heartbeat.describe()}"
                )
            member.leaving = True
            self._changed.notify_all()

    def _handle(self, member: Member, message: Message) -> None:
        if isinstance(message, Heartbeat):
            member.heartbeat = message
        elif isinstance(message, Facts):
            member.facts = message
        elif isinstance(message, Reached):
            member.unreachable = message.unreachable
        elif isinstance(message, Ended):
            member.ended = True
        elif isinstance(message, Failed):
            self.interrupted = self.interrupted or message.interrupted
            self.fail(message.reason)
        elif isinstance(message, Bye):
            member.leaving = True
