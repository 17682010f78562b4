"""A file that always says where a worker is, for processes that watch it.

Its one line holds rank of the worker, number of the step that it began last, phase, and the memory
in use and in total, in bytes (see `memory.py`). The phases are:

* ``start``: before the first step
* ``compute``: computing the step, until its own gradients are there
* ``wait``: waiting for the other workers: for the sums of gradients and the update of all
  parameters, or until the others have come to the same place
* ``data``: the step is done, and the next has not begun
* ``verify``, ``save``, ``end``

If training hangs, all others wait for a worker whose step is the lowest and whose phase is not
``wait``. If all workers wait in one step, they wait for a server.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from typing import Any, NamedTuple

import mxnet as mx

from .memory import MemoryGauge

START, COMPUTE, WAIT, DATA, VERIFY, SAVE, END = (
    "start",
    "compute",
    "wait",
    "data",
    "verify",
    "save",
    "end",
)
# All lines have the same length, so that a reader always sees a complete one.
_WIDTH = 79


class Progress:
    """A worker's step and phase; this class does not report them.

    Attributes:
        step: number of the step that was begun last.
    """

    def __init__(self) -> None:
        self.step = 0

    def tell(self, phase: str) -> None:
        """Report a phase, once MXNet's engine has come there."""

    def step_done(self, step: int) -> None:
        """Report that the script has finished a step."""

    def use_devices(self, contexts: list[Any]) -> None:
        """Report the memory of these devices from now on."""

    def close(self) -> None:
        """Report nothing from now on."""


class StepFile(Progress):
    """Writes the progress of the script itself to a file."""

    def __init__(self, path: str, rank: int) -> None:
        super().__init__()
        self._rank = rank
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._gauge = MemoryGauge([])

    def tell(self, phase: str) -> None:
        """Report a phase."""
        self._write(self.step, phase)

    def step_done(self, step: int) -> None:
        """Report that the script has finished a step."""
        self.step = step
        self._write(step, DATA)

    def use_devices(self, contexts: list[Any]) -> None:
        """Report the memory of these devices from now on."""
        self._gauge = MemoryGauge(contexts)

    def _write(self, step: int, phase: str) -> None:
        used, total = self._gauge.read()
        line = f"{self._rank} {step} {phase} {used} {total}".ljust(_WIDTH).encode("ascii")
        # A file system that is full or gone must not end training.
        with contextlib.suppress(OSError):
            os.pwrite(self._file, line + b"\n", 0)


class _Report(NamedTuple):
    """A phase that begins once an array is ready; at once without one."""

    step: int
    phase: str
    array: Any = None


class ProgressFile(StepFile):
    """Follows what computes, which lags behind the script by up to a step, in a thread."""

    def __init__(self, path: str, rank: int) -> None:
        super().__init__(path, rank)
        self._reports: queue.Queue[_Report | None] = queue.Queue()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def tell(self, phase: str) -> None:
        """Report a phase, once MXNet's engine has come there."""
        self._reports.join()
        super().tell(phase)

    def step_done(self, step: int) -> None:
        """Do nothing: the thread reports it."""

    def begin_step(self) -> None:
        """Report that a step begins."""
        self.step += 1
        self._reports.put(_Report(self.step, COMPUTE))

    def begin_sum(self, gradient: Any) -> None:
        """Report that the sum over all workers begins.

        Args:
            gradient: an array that is ready once the step's gradients are computed.
        """
        self._reports.put(_Report(self.step, WAIT, gradient))

    def end_step(self, parameters: Any) -> None:
        """Report the end of a step.

        Args:
            parameters: an array that is ready once its parameters are updated.
        """
        self._reports.put(_Report(self.step, DATA, parameters))

    def close(self) -> None:
        """End the thread, which must not wait for an engine that is gone."""
        self._reports.put(None)
        self._thread.join()

    def _follow(self) -> None:
        while True:
            report = self._reports.get()
            try:
                if report is None:
                    return
                if report.array is not None:
                    report.array.wait_to_read()
                # The script may have begun the next step meanwhile.
                if report.phase != DATA or self._reports.empty():
                    self._write(report.step, report.phase)
            except mx.MXNetError:
                pass  # the script gets the same error
            finally:
                self._reports.task_done()
