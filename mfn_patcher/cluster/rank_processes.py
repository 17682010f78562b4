"""The processes of this rank while a stage is trained."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mfn_patcher.cluster.heartbeat import Heartbeat
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.roles import (
    Layout,
    ServerProcesses,
    bound_command,
    describe_status,
    process_state,
    server_command,
)
from mfn_patcher.training.watch.progress import PROGRESS, read_progress

KILL_SECONDS = 2.0
"""Time that the worker has to stop once another process has failed."""


class RankProcesses:
    """Starts the processes of a rank other than its worker, and reports on all of them.

    The worker itself is started by the training of the stage.

    Args:
        rank: the rank of this process.
        python: path of the training interpreter.

    Attributes:
        rank: the rank of this process.
        host: name of this host.
        signal: the first signal that was received while the worker ran; None if there was none.
        signal_time: when that was, on the monotonic clock.
    """

    def __init__(self, rank: Rank, python: str) -> None:
        self.rank = rank
        self.host = socket.gethostname()
        self.signal: signal.Signals | None = None
        self.signal_time = 0.0
        self._python = python
        self._servers: ServerProcesses | None = None
        self._worker: int | None = None
        self._progress: int | None = None
        self._reported: tuple[tuple[int, str] | None, float] = None, time.monotonic()

    @property
    def name(self) -> str:
        """Name of the rank in messages."""
        return self.rank.on(self.host)

    def start(
        self, layout: Layout, address: str, folder: Path, environment: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Start scheduler and server, if the engine has them.

        Args:
            layout: addresses and ports of the job.
            address: address of this host, as rank 0 sees it.
            folder: where their logs are written.
            environment: environment of a worker that trains alone.

        Returns:
            Environment of the worker, and arguments to append to its command.
        """
        rank = self.rank
        environments = {
            role: {**environment, **layout.variables(role, rank.number, rank.local_rank, address)}
            for role in layout.roles(rank.number)
        }
        worker = environments.pop("worker")
        # Kept open, so that it can be read even if the folder is removed.
        path = folder / PROGRESS
        if self._progress is not None:
            os.close(self._progress)
        self._progress = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._reported = None, time.monotonic()
        command = bound_command(server_command(self._python), self._python)
        self._servers = ServerProcesses(command, environments, folder)
        return worker, ("--progress", str(path))

    def bound(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return the command of a worker that dies with this process."""
        return bound_command(command, self._python)

    def worker_started(self, pid: int) -> None:
        """Note the process id of the worker."""
        self._worker = pid

    def signal_received(self, number: signal.Signals) -> None:
        """Note a signal; called from a signal handler, so the other ranks hear of it later."""
        if self.signal is None:
            self.signal, self.signal_time = number, time.monotonic()

    def heartbeat(self) -> Heartbeat:
        """Return the state of this rank."""
        found = None if self._progress is None else read_progress(self._progress)
        progress = None if found is None else (found.step, found.phase)
        if progress != self._reported[0]:
            self._reported = progress, time.monotonic()
        states = self._servers.states() if self._servers else {}
        if self._worker is not None:
            states["worker"] = process_state(self._worker)
        step, phase = progress or (None, "")
        return Heartbeat(step, phase, round(time.monotonic() - self._reported[1], 1), states)

    def server_failure(self) -> str | None:
        """Return how scheduler or server failed; None if neither did."""
        failed = self._servers.failed() if self._servers else None
        return self.describe_failure(*failed) if failed else None

    def describe_failure(self, role: str, status: int) -> str:
        """Return how a process ended and at which step, for messages.

        Args:
            role: role of the process.
            status: its exit status; -N if signal N ended it.
        """
        step = self.heartbeat().step
        where = "" if step is None else f" at step {step}"
        return f"the {role} of {self.name} {describe_status(status)}{where}"

    def stop(self, *, at_once: bool) -> None:
        """End scheduler and server.

        Args:
            at_once: kill them, rather than wait until they exit after the last worker.
        """
        self._worker = None
        if self._servers:
            if not at_once:
                self._servers.settle()
            self._servers.kill()
            self._servers = None
