"""Every rank but 0: does what rank 0 says, and says how it goes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mfn_patcher.children.failure import explain
from mfn_patcher.cluster import channel
from mfn_patcher.cluster.agreement import Facts
from mfn_patcher.cluster.channel import GREETING, Message, Ports
from mfn_patcher.cluster.errors import FaultError, OrderedError, SetupError
from mfn_patcher.cluster.rank_process import KILL, MISSED, NEWS, Hands
from mfn_patcher.cluster.ranks import Place, Root
from mfn_patcher.cluster.roles import Layout, describe
from mfn_patcher.engine.choice import Engine
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.runs import record
from mfn_patcher.training import process
from mfn_patcher.training.command import Resumption, StagePlan, go_on
from mfn_patcher.training.process import Ended
from mfn_patcher.training.run import Surroundings

CAUSE = "cause.txt"
_PARTING = 10.0  # seconds


class Follower(Hands):
    """The tool's process with a rank that is not 0.

    Args:
        place: Of this rank.
        root: Where rank 0 is.
        python: The training interpreter.
        command: Of the tool.
        patience: In seconds; also how long rank 0 is tried to be reached.

    Raises:
        SetupError: Rank 0 can't be reached, or refuses.
    """

    def __init__(
        self, place: Place, root: Root, python: str, command: str, patience: float
    ) -> None:
        super().__init__(place, python, patience)
        self._over: MfnPatchError | None = None
        self._done = False
        self._folder: Path | None = None
        self._orders: queue.Queue[Message] = queue.Queue()
        self._line = channel.connect(root, place.rank, 2 * patience)
        self._line.send(
            "hello",
            greeting=GREETING,
            rank=place.rank,
            size=place.size,
            local_rank=place.local_rank,
            host=self.host,
            command=command,
        )
        self._line.wait_at_most(patience)
        answer = self._line.receive()
        self._line.wait_at_most(None)
        if answer is None or answer["kind"] != "welcome":
            why = answer["why"] if answer else "it gives no answer"
            raise SetupError(
                f"rank {place.rank} on {self.host} came to {self._line.there}:{root.port}, which "
                f"does not take it: {why}",
                remedy="Give this training another port with --rendezvous HOST:PORT.",
            )
        self.address = self._line.here
        self.layout = Layout(self._line.there, root.port, place.size)
        self._root = f"rank 0 on {answer['host']}"
        self._ports = Ports(self.address, self.layout.ports(place.rank, place.local_rank))

    @property
    def name(self) -> str:
        """For people."""
        return f"rank {self.place.rank} on {self.host}"

    def __enter__(self) -> Follower:
        threading.Thread(target=self._listen, daemon=True).start()
        channel.repeat(self.every, self._each_beat, self.closing)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.dismiss(failed=error is not None)
        self._ports.release()
        if error is not None and self._folder:
            # What this prints may be lost with the network; the folder may have been removed.
            with contextlib.suppress(OSError):
                (self._folder / CAUSE).write_text(f"{error}\n", encoding="utf-8")
        if error is not None and self._over is None:
            remedy = error.remedy if isinstance(error, MfnPatchError) else ""
            self._fail(
                f"{self.name}: {str(error) or 'it was interrupted'}\n{remedy}".rstrip(),
                interruption=isinstance(error, KeyboardInterrupt),
            )
        # A launcher kills all ranks once one has ended with an error: rank 0, which has a record
        # to close, goes first.
        self._line.send("bye")
        if error is not None:
            self.closing.wait(_PARTING)
        self.closing.set()
        self._line.close()

    def present(self, own: Facts, findings: Any = None) -> None:
        """Tell rank 0 the facts of this host."""
        self._line.send("facts", facts=own, findings=findings, busy=self._ports.busy)

    def follow(
        self,
        plans: Sequence[StagePlan],
        surroundings: Surroundings,
        engine: Engine | None,
        report: Callable[[str], None],
    ) -> None:
        """Do what rank 0 says until it says that all is done.

        Args:
            plans: Of all stages, as if none had been trained.
            surroundings: Of this rank.
            engine: That computes; None if nothing is trained.
            report: Gets a line when a stage starts or ends.

        Raises:
            OrderedError: Rank 0 ended the training.
            FaultError: Rank 0 is gone, or a process of this rank failed.
        """
        while True:
            order = self._orders.get()
            if self._over:
                raise self._over
            if order["kind"] == "done":
                return
            if order["kind"] == "reach":
                self.layout = dataclasses.replace(self.layout, root=order["root"])
                targets = [tuple(each) for each in order["targets"] if each[0] != self.place.rank]
                self._line.send("reached", failed=channel.unreachable(targets))
            elif order["kind"] == "release":
                self._ports.release()
            elif order["kind"] == "start" and engine:
                plan = next(plan for plan in plans if plan.stage.number == order["stage"])
                if order["resumption"]:
                    plan = go_on(plan, Resumption(**order["resumption"]))
                self._train(plan, order["run"], surroundings, engine, report)

    def _train(
        self,
        plan: StagePlan,
        run: str,
        surroundings: Surroundings,
        engine: Engine,
        report: Callable[[str], None],
    ) -> None:
        folder = surroundings.runs / run / f"rank-{self.place.rank}"
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        environment, added = self.begin(
            plan, folder, engine.environment(surroundings.environment, plan.visible_devices)
        )
        command = (surroundings.python, "-u", plan.script, *plan.arguments, *added)
        report(f"{plan.stage.title}: output in {folder}")
        with Path(os.devnull).open("wb") as nowhere:
            ended = process.run(
                self.wrap(command),
                folder=surroundings.source,
                environment=environment,
                log=folder / record.LOG,
                output=nowhere,
                guard=self.guard,
                report=report,
                started=self.started,
                received=self.received,
            )
        self._judge(ended, folder)
        self._line.send("ended")
        self.dismiss(failed=False)

    def _judge(self, ended: Ended, folder: Path) -> None:
        if ended.signal:
            # A launcher stops all when one is gone, and may be faster than the news of that.
            self.closing.wait(NEWS)
        if self._over:
            raise self._over
        silence = self._line.silence()
        if ended.signal and silence > MISSED * self.every:
            raise self._fail(
                f"{ended.signal.name} came while nothing is heard of {self._root} since "
                f"{silence:.0f} s; {self.name} was {self.beat().describe()}"
            )
        if ended.signal:
            raise self._fail(f"{self.name} received {ended.signal.name}", interruption=True)
        if ended.stopped:
            raise self._fail(ended.stopped)
        if ended.status:
            why = self._ended_badly("worker", ended.status)
            failure = explain(ended.tail, edited=False, arguments=False)
            if failure:
                why = f"{why}: {failure.what}\n{failure.remedy}"
            elif ended.status > 0:
                why = "\n".join([f"{why}; its last lines:", *ended.tail])
            where = f"All of its output is on {self.host} in {folder / record.LOG}"
            raise self._fail(f"{why}\n{where}")

    def guard(self) -> None:
        """End the worker if rank 0 says so, or a process of this rank failed.

        Raises:
            Stop: It must end.
        """
        if self._over:
            raise process.Stop(str(self._over), KILL)
        if lost := self.lost():
            raise process.Stop(self._ended_badly(*lost), KILL)

    def _ended_badly(self, role: str, status: int) -> str:
        step = self.beat().step
        where = "" if step is None else f" at step {step}"
        return f"the {role} of {self.name} {describe(status)}{where}"

    def _fail(self, why: str, *, interruption: bool = False) -> MfnPatchError:
        """Tell rank 0 of a fault here, unless all is over; return why it is over."""
        told = self._over is not None
        # Before rank 0 hears of it, and orders the same.
        over = self._end(
            OrderedError(why, ExitCode.INTERRUPTED) if interruption else FaultError(why)
        )
        if not told:
            self._line.send("fault", why=why, interruption=interruption)
        return over

    def _end(self, why: MfnPatchError) -> MfnPatchError:
        if self._over is None:
            self._over = why
            self._orders.put({"kind": "over"})
        return self._over

    def _listen(self) -> None:
        while (message := self._line.receive()) is not None:
            if message["kind"] == "stop":
                self._end(OrderedError(f"{self.name} ended, for {message['why']}", message["code"]))
            elif message["kind"] != "beat":
                if message["kind"] == "done":
                    self._done = True
                self._orders.put(message)
        if not self._done:
            self._end(
                FaultError(
                    f"the connection to {self._root} ended without a word; {self.name} was "
                    f"{self.beat().describe()}"
                )
            )
        self.closing.set()

    def _each_beat(self) -> None:
        beat = self.beat()
        self._line.send("beat", beat=dataclasses.asdict(beat))
        if self._line.silence() > self.silence:
            self._end(
                FaultError(
                    f"nothing is heard of {self._root} since {self.silence:.0f} s: that host or "
                    f"the network is down; {self.name} was {beat.describe()}"
                )
            )
            self.closing.set()
