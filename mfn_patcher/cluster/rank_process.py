"""The processes of one rank beside the tool, while a stage is trained."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mfn_patcher.cluster.ranks import Place
from mfn_patcher.cluster.roles import Companions, Layout, beside_worker, bound, state
from mfn_patcher.cluster.watchdog import Beat, read_progress
from mfn_patcher.training.command import StagePlan
from mfn_patcher.training.companions import Crew

PATIENCE = 45.0
"""Seconds that a step may be late, by default; half of it may pass without a word of a host."""
BEAT = 2.0
"""Seconds from one message to the next, at most."""
MISSED = 3
"""Messages of a host whose lack is worth telling where something else ends a training."""
NEWS = 0.3
"""Seconds that news from another host may need."""
KILL = 2.0
"""Seconds that a worker may take to stop once another process has failed."""


class Hands(Crew):
    """Starts a rank's roles, and says how they are.

    Args:
        place: Of this rank.
        python: The training interpreter.
        patience: In seconds.

    Attributes:
        place: Of this rank.
        host: Name of this one.
        layout: Of all roles; set when rank 0 is known.
        address: Of this host, as rank 0 sees it.
    """

    layout: Layout
    address: str

    def __init__(self, place: Place, python: str, patience: float) -> None:
        self.place = place
        self.host = socket.gethostname()
        self.patience = patience
        self.signal: signal.Signals | None = None
        self.signalled = 0.0
        self.closing = threading.Event()
        self._python = python
        self._companions: Companions | None = None
        self._worker: int | None = None
        self._progress: int | None = None
        self._told: tuple[tuple[int, str] | None, float] = None, time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds that another host may say nothing."""
        return self.patience / 2

    @property
    def every(self) -> float:
        """Seconds from one message to the next."""
        return min(BEAT, self.patience / 10)

    def begin(
        self, plan: StagePlan, folder: Path, environment: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Start scheduler and server; their logs go into `folder`."""
        del plan
        environments = {
            role: {
                **environment,
                **self.layout.variables(role, self.place.rank, self.place.local_rank, self.address),
            }
            for role in self.layout.roles(self.place.rank)
        }
        worker = environments.pop("worker")
        # Made and kept open here: it can be read whatever becomes of the folder.
        path = folder / "progress"
        if self._progress is not None:
            os.close(self._progress)
        self._progress = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._told = None, time.monotonic()
        command = bound(beside_worker(self._python), self._python)
        self._companions = Companions(dict.fromkeys(environments, command), environments, folder)
        return worker, ("--progress", str(path))

    def wrap(self, command: Sequence[str]) -> tuple[str, ...]:
        """Bind the worker to the tool, whose end it would not outlive well."""
        return bound(command, self._python)

    def started(self, pid: int) -> None:
        """Take the number of the worker's process."""
        self._worker = pid

    def received(self, number: signal.Signals) -> None:
        """Note it; it is told to others outside the handler."""
        if self.signal is None:
            self.signal, self.signalled = number, time.monotonic()

    def beat(self) -> Beat:
        """Return where this rank is."""
        told = None if self._progress is None else read_progress(self._progress)
        if told != self._told[0]:
            self._told = told, time.monotonic()
        states = self._companions.states() if self._companions else {}
        if self._worker is not None:
            states["worker"] = state(self._worker)
        step, phase = told or (None, "")
        return Beat(step, phase, round(time.monotonic() - self._told[1], 1), states)

    def lost(self) -> tuple[str, int] | None:
        """Return role and status of a process beside the worker that ended badly."""
        return self._companions.failed() if self._companions else None

    def dismiss(self, *, failed: bool) -> None:
        """End scheduler and server; `failed` not to wait for them."""
        self._worker = None
        if self._companions:
            if not failed:
                self._companions.settle()
            self._companions.kill()
            self._companions = None
