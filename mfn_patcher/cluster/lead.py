"""Rank 0: gathers the other ranks, starts each stage on all of them, and ends them together."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from mfn_patcher.cluster import preflight
from mfn_patcher.cluster.agreement import HostFacts
from mfn_patcher.cluster.errors import FaultError, SetupError
from mfn_patcher.cluster.heartbeat import DELIVERY_SECONDS
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.membership import Fault, Membership
from mfn_patcher.cluster.messages import Done, Start
from mfn_patcher.cluster.ports import listen
from mfn_patcher.cluster.rank_processes import KILL_SECONDS, RankProcesses
from mfn_patcher.cluster.rendezvous import is_local_address, resolve
from mfn_patcher.cluster.roles import Layout
from mfn_patcher.cluster.ssh import SshProcesses
from mfn_patcher.cluster.watchdog import Watchdog
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.training import process
from mfn_patcher.training.companions import Companions
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.process import ExitResult

_MPIRUN_REMEDY = (
    "mpirun may keep waiting for that host; docs/cluster.md has options to prevent that."
)
_GOODBYE_SECONDS = 3.0


class Lead(Companions):
    """The tool's process on rank 0, as a context that ends the other ranks with it.

    Args:
        job: how the command is spread over hosts; this process is rank 0.
        python: path of the training interpreter.
        command: name of the command, which every rank must run.

    Attributes:
        membership: the other ranks.
        layout: addresses and ports of the job.

    Raises:
        SetupError: This process cannot listen there.
    """

    def __init__(self, job: Job, python: str, command: str) -> None:
        self._job = job
        self._processes = RankProcesses(job.rank, python)
        rendezvous = job.rendezvous
        own = [each for host in rendezvous.hosts for each in resolve(host)]
        own = [address for address in own if is_local_address(address)]
        if not own:
            raise SetupError(
                f"{self.name} cannot listen at {' or '.join(rendezvous.hosts)} "
                f"({rendezvous.source}): not an address of that host",
                remedy="Pass the host of rank 0, as the other hosts reach it: --rendezvous HOST.",
            )
        self.layout = Layout(own[0], rendezvous.port, job.rank.size)
        try:
            # Listen at all addresses if there are several: the other ranks choose one.
            listening = listen("" if len(own) > 1 else own[0], rendezvous.port)
        except OSError as error:
            raise SetupError(
                f"{self.name} cannot listen at {own[0]}:{rendezvous.port}: {error.strerror}",
                remedy="Another job may use that port; choose one with --rendezvous HOST:PORT.",
            ) from None
        self.membership = Membership(job.rank, self._processes.host, command, listening)
        self._watchdog = Watchdog(self._processes, self.membership, job.timing)

    @property
    def name(self) -> str:
        """Name of this rank in messages."""
        return self._processes.name

    def __enter__(self) -> Lead:
        self._watchdog.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._processes.stop(at_once=error is not None)
        if error is None:
            self.membership.send_all(Done())
        else:
            code = error.exit_code if isinstance(error, MfnPatchError) else ExitCode.INTERRUPTED
            if not isinstance(error, (MfnPatchError, KeyboardInterrupt)):
                code = ExitCode.BUG
            reason = str(error).partition("\n")[0].rstrip(":") or "rank 0 was interrupted"
            self.membership.fail(reason, code)
        # Ranks that end later would find this one gone. A launcher that sent a signal is about to
        # kill all ranks.
        self.membership.close(0 if self._processes.signal else _GOODBYE_SECONDS)

    def compare_facts(self, own: HostFacts) -> list[str]:
        """Return the differences between hosts; see `preflight.compare_facts`."""
        return preflight.compare_facts(self.membership, own)

    def check_ports(self, engine: str) -> list[str]:
        """Return the ports that cannot be reached; see `preflight.check_ports`.

        Args:
            engine: name of the engine that trains.
        """
        address = self.membership.common_address(self.layout.lead_address)
        self.layout = dataclasses.replace(self.layout, lead_address=address, engine=engine)
        return preflight.check_ports(self.membership, self.layout, self._job.rank.local_rank)

    def require_agreement(self, own: HostFacts, engine: str) -> None:
        """Refuse to train on hosts that differ or cannot reach each other.

        Args:
            own: facts of this host.
            engine: name of the engine that trains.

        Raises:
            SetupError: They do.
            FaultError: A rank failed meanwhile.
        """
        preflight.raise_problems(
            "differ",
            self.compare_facts(own),
            "Make them equal; `mfn-patch doctor --cluster` checks it.",
        )
        preflight.raise_problems(
            "cannot reach each other", self.check_ports(engine), preflight.PORTS_REMEDY
        )

    # -- a stage: what `Companions` offers to training ----------------------------------------

    def begin(
        self, plan: StagePlan, folder: Path, environment: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Start the other processes of this rank, and the stage on all other ranks."""
        self.membership.raise_fault()
        self.membership.start_stage()
        started = self._processes.start(self.layout, self.layout.lead_address, folder, environment)
        self._watchdog.start_stage()
        self.membership.send_all(Start(plan.stage.number, folder.name, plan.resumption))
        return started

    def wrap(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return the command of a worker that dies with this process."""
        return self._processes.bound(command)

    def started(self, pid: int) -> None:
        """Note the process id of the worker."""
        self._processes.worker_started(pid)

    def received(self, number: signal.Signals) -> None:
        """Note a signal; the watchdog tells the other ranks."""
        self._processes.signal_received(number)

    def guard(self) -> None:
        """Stop the worker if another process failed.

        Raises:
            Stop: One did.
        """
        if failure := self._processes.server_failure():
            self.membership.fail(failure)
        if self.membership.fault:
            raise process.Stop(self.membership.fault.reason, KILL_SECONDS)

    def describe(self) -> Sequence[str]:
        """Return what the other ranks do, a line for each."""
        return [f"{each.name}: {each.heartbeat.describe()}" for each in self.membership.members]

    def end(self, result: ExitResult | None) -> MfnPatchError | None:
        """Wait for the other workers, or stop them."""
        self._watchdog.end_stage()
        fault = self._find_fault(result)
        whole = fault is None and result is not None and not (result.signal or result.stopped)
        self._processes.stop(at_once=not whole)
        if fault is None or (self.membership.interrupted and result and result.signal):
            # A signal to all ranks is not the fault of the one that reported it first.
            return None
        waits = self._job.rank.launcher == "Open MPI" and fault.lost_host
        return FaultError(fault.reason, remedy=_MPIRUN_REMEDY if waits else "")

    def _find_fault(self, result: ExitResult | None) -> Fault | None:
        """Return what ended the stage on any rank; None if it is complete everywhere."""
        if result and result.signal and self.membership.fault is None:
            # A launcher ends all ranks when one is gone, perhaps before the news arrives here.
            self.membership.wait(lambda: False, DELIVERY_SECONDS)
            self._watchdog.blame_silent_rank(result.signal.name)
        if self.membership.fault or result is None or result.signal or result.stopped:
            return self.membership.fault
        if result.status:
            return self._fail_worker(result)
        return self._wait_for_others()

    def _fail_worker(self, result: ExitResult) -> Fault:
        reason = self._processes.describe_failure("worker", result.status)
        self.membership.fail(reason)
        if result.status > 0:
            reason = "\n".join([f"{reason}; its last lines:", *result.tail])
        return Fault(reason)

    def _wait_for_others(self) -> Fault | None:
        members = self.membership.members
        self.membership.wait(lambda: all(each.ended for each in members), self._job.timing.timeout)
        late = [member for member in members if not member.ended]
        if not late:
            return self.membership.fault
        return self.membership.fail(
            f"rank 0 completed the stage, but {late[0].name} did not within "
            f"{self._job.timing.timeout:.0f} s: it is {late[0].heartbeat.describe()}"
        )


@contextlib.contextmanager
def lead_job(job: Job, python: str, command: str, others: SshProcesses) -> Iterator[Lead]:
    """Yield rank 0 once all other ranks have joined; the job ends with the context.

    Args:
        job: how the command is spread over hosts; this process is rank 0.
        python: path of the training interpreter.
        command: name of the command, which every rank must run.
        others: starts the other ranks.

    Raises:
        SetupError: A rank did not join.
    """
    with others, Lead(job, python, command) as lead:
        lead.membership.gather(2 * job.timing.timeout, others.failure)
        yield lead
