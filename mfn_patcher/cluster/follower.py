"""Every rank but 0: does what rank 0 orders, and reports how it goes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mfn_patcher.children.failure import explain
from mfn_patcher.cluster.agreement import HostFacts
from mfn_patcher.cluster.errors import FaultError
from mfn_patcher.cluster.heartbeat import DELIVERY_SECONDS
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.link import join
from mfn_patcher.cluster.messages import Done, Ended, Facts, Reach, Reached, Release, Start
from mfn_patcher.cluster.ports import ReservedPorts, find_unreachable
from mfn_patcher.cluster.rank_processes import KILL_SECONDS, RankProcesses
from mfn_patcher.cluster.roles import Layout
from mfn_patcher.engine.choice import Engine
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Finding
from mfn_patcher.runs import record
from mfn_patcher.training import process
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.process import ExitResult, Launch

CAUSE = "cause.txt"
"""File in the folder of a rank that tells why it failed."""
_LOG = logging.getLogger(__name__)


class Follower:
    """The tool's process on a rank other than 0, as a context that ends with the job.

    Args:
        job: how the command is spread over hosts; this process is not rank 0.
        python: path of the training interpreter.
        command: name of the command, which every rank must run.

    Raises:
        SetupError: Rank 0 cannot be reached, or refuses this rank.
    """

    def __init__(self, job: Job, python: str, command: str) -> None:
        self._rank = rank = job.rank
        self._processes = RankProcesses(rank, python)
        self._folder: Path | None = None
        self._link = join(job, self._processes, command)
        self._layout = Layout(self._link.lead_address, job.rendezvous.port, rank.size)
        self._ports: ReservedPorts | None = None

    @property
    def name(self) -> str:
        """Name of this rank in messages."""
        return self._processes.name

    def __enter__(self) -> Follower:
        self._link.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._processes.stop(at_once=error is not None)
        self._release_ports()
        if error is not None:
            self._write_cause(error)
            remedy = error.remedy if isinstance(error, MfnPatchError) else ""
            if self._link.error is None:
                self._link.fail(
                    f"{self.name}: {str(error) or 'interrupted'}\n{remedy}".rstrip(),
                    interrupted=isinstance(error, KeyboardInterrupt),
                )
        self._link.close(wait=error is not None)

    def _write_cause(self, error: BaseException) -> None:
        # What this process prints may be lost with the network. The folder may have been removed.
        if self._folder:
            with contextlib.suppress(OSError):
                (self._folder / CAUSE).write_text(f"{error}\n", encoding="utf-8")

    def present(self, own: HostFacts, engine: str, findings: Sequence[Finding] = ()) -> None:
        """Reserve the ports of the processes of this rank, and tell rank 0 the facts of this host.

        Args:
            own: the facts.
            engine: name of the engine that trains.
            findings: findings of the doctor.
        """
        self._layout = dataclasses.replace(self._layout, engine=engine)
        ports = self._layout.ports(self._rank.number, self._rank.local_rank)
        self._ports = reserved = ReservedPorts(self._link.local_address, ports)
        told = Facts(own, tuple(findings), tuple(reserved.held), tuple(reserved.taken))
        self._link.send(told)

    def _release_ports(self) -> None:
        if self._ports:
            self._ports.release()

    def follow(
        self, plans: Sequence[StagePlan], context: RunContext, engine: Engine | None
    ) -> None:
        """Carry out rank 0's orders until nothing is left to do.

        Args:
            plans: plans of all stages, as if none had been trained.
            context: where stages run on this host.
            engine: what computes; None if nothing is trained.

        Raises:
            StoppedError: Rank 0 stopped this rank.
            FaultError: Rank 0 is gone, or a process of this rank failed.
        """
        stages = {plan.stage.number: plan for plan in plans}
        while not isinstance(order := self._link.next_order(), Done):
            if isinstance(order, Reach):
                self._reach(order)
            elif isinstance(order, Release):
                self._release_ports()
            elif isinstance(order, Start) and engine:
                if order.stage not in stages:
                    raise FaultError(f"rank 0 started stage {order.stage}, which has no plan here")
                plan = stages[order.stage]
                if order.resumption:
                    plan = plan.resume(order.resumption)
                self._train(plan, order.run, context, engine)

    def _reach(self, order: Reach) -> None:
        self._layout = dataclasses.replace(self._layout, lead_address=order.lead_address)
        others = [target for target in order.targets if target.rank != self._rank.number]
        self._link.send(Reached(tuple(find_unreachable(others))))

    def _train(self, plan: StagePlan, run: str, context: RunContext, engine: Engine) -> None:
        folder = context.runs / run / f"rank-{self._rank.number}"
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        environment, added = self._processes.start(
            self._layout,
            self._link.local_address,
            folder,
            context.training_environment(engine, plan),
        )
        command = (context.python, "-u", plan.script, *plan.arguments, *added)
        _LOG.info("%s: output in %s", plan.stage.title, folder)
        with Path(os.devnull).open("wb") as nowhere:
            launch = Launch(
                self._processes.bound(command), context.source, environment, folder / record.LOG
            )
            result = process.run(launch, nowhere, self)
        self._raise_failure(result, folder)
        self._link.send(Ended())
        self._processes.stop(at_once=False)

    def started(self, pid: int) -> None:
        """Take the process id of the worker."""
        self._processes.worker_started(pid)

    def received(self, number: signal.Signals) -> None:
        """Take a signal that was passed on to the worker; called from the signal handler."""
        self._processes.signal_received(number)

    def guard(self) -> None:
        """Stop the worker if rank 0 orders it, or another process of this rank failed.

        Raises:
            Stop: It must stop.
        """
        if self._link.error:
            raise process.Stop(str(self._link.error), KILL_SECONDS)
        if failure := self._processes.server_failure():
            raise process.Stop(failure, KILL_SECONDS)

    def _raise_failure(self, result: ExitResult, folder: Path) -> None:
        """Raise why the worker did not complete the stage, if it did not."""
        if result.signal:
            # A launcher ends all ranks when one is gone, perhaps before the news arrives here.
            self._link.wait_for_news(DELIVERY_SECONDS)
        if self._link.error:
            raise self._link.error
        if result.signal:
            self._link.check_silence(result.signal.name)
            raise self._link.fail(f"{self.name} received {result.signal.name}", interrupted=True)
        if result.stopped:
            raise self._link.fail(result.stopped)
        if result.status:
            reason = self._explain_failure(result)
            log = f"Its complete output is on {self._processes.host} in {folder / record.LOG}"
            raise self._link.fail(f"{reason}\n{log}")

    def _explain_failure(self, result: ExitResult) -> str:
        reason = self._processes.describe_failure("worker", result.status)
        if failure := explain(result.tail, edited=False, arguments=False):
            return f"{reason}: {failure.what}\n{failure.remedy}"
        if result.status > 0:
            return "\n".join([f"{reason}; its last lines:", *result.tail])
        return reason
