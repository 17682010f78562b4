"""Rank 0: gathers the other ranks, tells them what to train, and watches all of them."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from mfn_patcher.cluster import agreement as facts
from mfn_patcher.cluster import channel
from mfn_patcher.cluster.agreement import Facts
from mfn_patcher.cluster.channel import GREETING, Line, Message, Ports
from mfn_patcher.cluster.errors import FaultError, SetupError
from mfn_patcher.cluster.rank_process import KILL, MISSED, NEWS, Hands
from mfn_patcher.cluster.ranks import Place, Root, addresses, is_own
from mfn_patcher.cluster.roles import Layout, describe
from mfn_patcher.cluster.watchdog import Beat, Pace
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.training import process
from mfn_patcher.training.command import StagePlan
from mfn_patcher.training.process import Ended

_MPIRUN = "mpirun may go on waiting for that host: docs/cluster.md has options against it."
_PARTING = 3.0  # seconds
_ASKED = 0.2  # seconds


@dataclass
class Member:
    """What is known of another rank."""

    rank: int
    host: str
    local_rank: int
    line: Line
    facts: Facts | None = None
    findings: Any = None
    busy: list[int] = field(default_factory=list)
    reached: list[Any] | None = None
    beat: Beat = field(default_factory=Beat)
    ended: bool = False
    leaving: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return name(self.rank, self.host)

    def beat_now(self) -> Beat:
        """Return the last beat as it would be now, if nothing had changed."""
        return dataclasses.replace(self.beat, age=self.beat.age + self.line.silence())


def name(rank: int, host: str) -> str:
    """Return a rank's name for people."""
    return f"rank {rank} on {host}"


class Lead(Hands):
    """The tool's process with rank 0.

    Args:
        place: Of this rank.
        root: Where it listens.
        python: The training interpreter.
        command: Of the tool, which the others must be running too.
        patience: In seconds.

    Raises:
        SetupError: It can't listen there.
    """

    def __init__(
        self,
        place: Place,
        root: Root,
        python: str,
        command: str,
        patience: float,
    ) -> None:
        super().__init__(place, python, patience)
        self.members: dict[int, Member] = {}
        self._command = command
        self._changed = threading.Condition()
        self._fault: str | None = None
        self._interruption = False
        self._pace: Pace | None = None
        own = [each for host in root.hosts for each in addresses(host) if is_own(each)]
        if not own:
            raise SetupError(
                f"rank 0 is on {self.host}, and {' or '.join(root.hosts)} ({root.source}) is none "
                "of its addresses",
                remedy="Name rank 0's host, as the others reach it, with --rendezvous HOST.",
            )
        self.address = own[0]
        self.layout = Layout(self.address, root.port, place.size)
        try:
            # On all of them: which one the others come to is their choice.
            self._listening = channel.listen("" if len(own) > 1 else own[0], root.port)
        except OSError as error:
            raise SetupError(
                f"rank 0 can't listen at {own[0]}:{root.port}: {error.strerror}",
                remedy="Another training may use that port; choose another with "
                "--rendezvous HOST:PORT.",
            ) from None
        self._ports: Ports | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Lead:
        channel.repeat(self.every, self._each_beat, self.closing)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.dismiss(failed=error is not None)
        if error is None:
            self._tell_all("done")
        else:
            code = error.exit_code if isinstance(error, MfnPatchError) else ExitCode.INTERRUPTED
            if not isinstance(error, (MfnPatchError, KeyboardInterrupt)):
                code = ExitCode.BUG
            self._fail(str(error).partition("\n")[0] or "it was interrupted", code=code)
        self.closing.set()
        with self._changed:
            # Those that come to their end later find this one gone. A launcher that has sent a
            # signal kills soon.
            left = lambda: all(member.leaving for member in self.members.values())  # noqa: E731
            self._changed.wait_for(left, 0 if self.signal else _PARTING)
        self._listening.close()
        if self._ports:
            self._ports.release()
        for member in self.members.values():
            member.line.close()

    # -- before a training ----------------------------------------------------------------

    def gather(self, seconds: float, failed: Callable[[], str | None]) -> None:
        """Wait for all other ranks.

        Args:
            seconds: At most.
            failed: Asked again and again why one can't come.

        Raises:
            SetupError: Some don't come.
        """
        wanted = range(1, self.place.size)
        end = time.monotonic() + seconds
        while len(self.members) < len(wanted) and time.monotonic() < end:
            if why := failed():
                raise SetupError(why, remedy="Its own message says why.")
            self._wait(lambda: len(self.members) == len(wanted), _ASKED)
        missing = [str(rank) for rank in wanted if rank not in self.members]
        if missing:
            raise SetupError(
                f"of {self.place.size} ranks, {', '.join(missing)} did not come to rank 0 at "
                f"{self.address}:{self.layout.port} within {seconds:.0f} s",
                remedy="Their own messages say why; a firewall in between shows by its time-out.",
            )

    def collect(self, own: Facts) -> list[str]:
        """Wait for the facts of all ranks; return what differs.

        Raises:
            FaultError: A rank failed meanwhile.
        """
        self._wait(lambda: all(member.facts is not None for member in self.members.values()))
        others = {member.name: member.facts or {} for member in self.members.values()}
        return facts.differences(own, others)

    def try_ports(self) -> list[str]:
        """Let each rank connect to each other's ports; return what can't be.

        Raises:
            FaultError: A rank failed meanwhile.
        """
        # Where most came to: of a host with several addresses, it may be another than the first.
        came_to = Counter(member.line.here for member in self.members.values())
        self.address = came_to.most_common(1)[0][0] if came_to else self.address
        self.layout = dataclasses.replace(self.layout, root=self.address)
        self._ports = Ports(self.address, self.layout.ports(0, self.place.local_rank))
        busy = {name(0, self.host): self._ports.busy}
        busy |= {member.name: member.busy for _, member in sorted(self.members.items())}
        lines = [
            f"{who}: port {', '.join(map(str, ports))} is taken"
            for who, ports in busy.items()
            if ports
        ]
        targets = self._targets(0, self.address, self.place.local_rank)
        for rank, member in sorted(self.members.items()):
            targets += self._targets(rank, member.line.there, member.local_rank)
        self._tell_all("reach", root=self.address, targets=targets)
        failed = {name(0, self.host): channel.unreachable(t for t in targets if t[0])}
        self._wait(lambda: all(member.reached is not None for member in self.members.values()))
        for _, member in sorted(self.members.items()):
            failed[member.name] = [tuple(each) for each in member.reached or ()]
        hosts = {0: self.host, **{rank: member.host for rank, member in self.members.items()}}
        for source, problems in failed.items():
            lines += [
                f"{source} can't reach {name(rank, hosts[rank])} at {address}:{port}: {why}"
                for rank, address, port, why in problems
            ]
        self._ports.release()
        self._tell_all("release")
        return lines

    def _targets(self, rank: int, address: str, local_rank: int) -> list[channel.Target]:
        return [(rank, address, port) for port in self.layout.ports(rank, local_rank)]

    def agree(self, own: Facts) -> None:
        """Refuse to train on hosts that differ or can't reach each other.

        Raises:
            SetupError: They do.
            FaultError: A rank failed meanwhile.
        """
        lines = self.collect(own)
        if lines:
            raise SetupError(
                "\n".join(["the hosts don't agree:", *(f"  {line}" for line in lines)]),
                remedy="Make them the same; `doctor --cluster` checks it.",
            )
        lines = self.try_ports()
        if lines:
            raise SetupError(
                "\n".join(["the hosts don't reach each other:", *(f"  {line}" for line in lines)]),
                remedy="Open these ports between the hosts, or choose others with "
                "--rendezvous HOST:PORT.",
            )

    # -- a stage, as its crew ---------------------------------------------------------------

    def begin(
        self, plan: StagePlan, folder: Path, environment: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Start this rank's roles, and have the others start theirs."""
        self._raise()
        for member in self.members.values():
            member.ended, member.beat = False, Beat()
        began = super().begin(plan, folder, environment)
        self._pace = Pace(self.patience)
        resumption = plan.resumption and dataclasses.asdict(plan.resumption)
        self._tell_all("start", stage=plan.stage.number, run=folder.name, resumption=resumption)
        return began

    def guard(self) -> None:
        """End the worker if another process failed.

        Raises:
            Stop: One did.
        """
        if lost := self.lost():
            self._fail(self._ended_badly(*lost))
        if self._fault:
            raise process.Stop(self._fault, KILL)

    def _ended_badly(self, role: str, status: int) -> str:
        step = self.beat().step
        where = "" if step is None else f" at step {step}"
        return f"the {role} of {name(0, self.host)} {describe(status)}{where}"

    def end(self, ended: Ended | None) -> MfnPatchError | None:
        """Wait for the other workers, or stop them."""
        self._pace = None
        if ended and ended.signal and self._fault is None:
            # A launcher stops all when one is gone, and may be faster than the news of that.
            self._wait(lambda: False, NEWS, checked=False)
            self._suspect(ended.signal.name)
        if self._interruption and ended and ended.signal:
            # One signal, to all ranks: not the fault of whoever told it first.
            return None
        fault = self._fault
        if fault is None and ended and ended.status and not (ended.signal or ended.stopped):
            fault = self._ended_badly("worker", ended.status)
            self._fail(fault)
            if ended.status > 0:
                fault = "\n".join([f"{fault}; its last lines:", *ended.tail])
        if fault is None and ended and not (ended.signal or ended.stopped or ended.status):
            self._wait(
                lambda: all(member.ended for member in self.members.values()),
                self.patience,
                checked=False,
            )
            late = [member for member in self.members.values() if not member.ended]
            if late and self._fault is None:
                self._fail(
                    f"rank 0 is done, and {late[0].name} is not, {self.patience:.0f} s later: it "
                    f"is {late[0].beat.describe()}"
                )
            fault = self._fault
        whole = fault is None and ended is not None and not (ended.signal or ended.stopped)
        self.dismiss(failed=not whole)
        if fault is None:
            return None
        waits = self.place.launcher == "Open MPI" and "nothing is heard" in fault
        return FaultError(fault, remedy=_MPIRUN if waits else "")

    def _suspect(self, received: str) -> None:
        """Name a rank that has missed messages, if a signal may be of a launcher that missed it."""
        for member in self._silent(MISSED * self.every):
            self._fail(
                f"{received} came while nothing is heard of {member.name} since "
                f"{member.line.silence():.0f} s; it was {member.beat.describe()}"
            )

    # -- the channel ----------------------------------------------------------------------

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(Line(connection),), daemon=True).start()

    def _greet(self, line: Line) -> None:
        line.wait_at_most(5)
        hello = line.receive()
        line.wait_at_most(None)
        member = self._admit(line, hello) if hello else None
        if member:
            self._listen_to(member)
        else:
            line.close()

    def _admit(self, line: Line, hello: Message) -> Member | None:
        why = ""
        if hello.get("greeting") != GREETING:
            why = f"rank 0 speaks {GREETING}"
        elif (hello["size"], hello["command"]) != (self.place.size, self._command):
            why = f"rank 0 is of another job: {self._command} with {self.place.size} ranks"
        with self._changed:
            if not why and hello["rank"] in {0, *self.members}:
                why = f"there is a rank {hello['rank']} already"
            if why:
                line.send("refused", why=why)
                return None
            member = Member(hello["rank"], hello["host"], hello["local_rank"], line)
            self.members[member.rank] = member
            line.send("welcome", host=self.host)
            self._changed.notify_all()
        return member

    def _listen_to(self, member: Member) -> None:
        while (message := member.line.receive()) is not None:
            with self._changed:
                self._take(member, message)
                self._changed.notify_all()
        with self._changed:
            if not member.leaving and not self.closing.is_set():
                self._fail(
                    f"the connection to {member.name} ended without a word; it was "
                    f"{member.beat.describe()}"
                )
            member.leaving = True
            self._changed.notify_all()

    def _take(self, member: Member, message: Message) -> None:
        kind = message["kind"]
        if kind == "beat":
            member.beat = Beat(**message["beat"])
        elif kind == "facts":
            member.facts, member.findings = message["facts"], message["findings"]
            member.busy = message["busy"]
        elif kind == "reached":
            member.reached = message["failed"]
        elif kind == "ended":
            member.ended = True
        elif kind == "fault":
            self._interruption = self._interruption or message["interruption"]
            self._fail(message["why"])
        elif kind == "bye":
            member.leaving = True

    def _tell_all(self, kind: str, **fields: object) -> None:
        for member in list(self.members.values()):
            member.line.send(kind, **fields)

    def _fail(self, why: str, code: int = ExitCode.CLUSTER) -> None:
        with self._changed:
            if self._fault is None:
                self._fault = why
                self._tell_all("stop", why=why, code=code)
                self._changed.notify_all()

    def _each_beat(self) -> None:
        if self.signal and time.monotonic() > self.signalled + NEWS:
            self._suspect(self.signal.name)
            if self._fault is None:
                self._interruption = True
                self._fail(f"rank 0 received {self.signal.name}", ExitCode.INTERRUPTED)
        self._tell_all("beat")
        with self._changed:
            if self._silent(self.silence):
                # Where it is this host that is cut off, the others follow a moment later.
                lost = self._silent(self.silence - 2 * self.every)
                ranks = ", ".join(member.name for member in lost)
                whose = "those hosts are" if lost[1:] else "that host is"
                self._fail(
                    f"nothing is heard of {ranks} since {self.silence:.0f} s: {whose} down, or the "
                    f"network to there; the last word was {lost[0].beat.describe()}"
                )
        pace = self._pace
        if pace:
            own = self.beat()
            pace.note(own, time.monotonic())
            beats = {0: own, **{rank: m.beat_now() for rank, m in sorted(self.members.items())}}
            names = {0: name(0, self.host), **{rank: m.name for rank, m in self.members.items()}}
            why = pace.judge(beats, names)
            if why and self._pace:
                self._fail(why)

    def _silent(self, seconds: float) -> list[Member]:
        """Return the ranks that have said nothing for so long."""
        return [
            member
            for member in self.members.values()
            if not member.leaving and member.line.silence() > seconds
        ]

    def _raise(self) -> None:
        if self._fault:
            raise FaultError(self._fault)

    def _wait(
        self, true: Callable[[], bool], seconds: float | None = None, *, checked: bool = True
    ) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._fault is not None or true(), seconds)
            if checked:
                self._raise()
