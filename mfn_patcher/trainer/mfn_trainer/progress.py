"""A file that always says where a worker is, for processes that watch several workers.

Its one line holds rank of the worker, number of the step that it began last, and phase:

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

import os
import queue
import threading
from typing import Any, NamedTuple

import mxnet as mx

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
_WIDTH = 39


class Progress:
    """A worker's step and phase; this class does not report them.

    Attributes:
        step: number of the step that was begun last.
    """

    def __init__(self) -> None:
        self.step = 0

    def tell(self, phase: str) -> None:
        """Report a phase, once MXNet's engine has come there."""

    def close(self) -> None:
        """Report nothing from now on."""


class _Step(NamedTuple):
    number: int
    gradient: Any
    parameters: Any


class ProgressFile(Progress):
    """Writes a file. MXNet's engine lags behind the script by up to a step: a thread follows it."""

    def __init__(self, path: str, rank: int) -> None:
        super().__init__()
        self._rank = rank
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._steps: queue.Queue[_Step | None] = queue.Queue()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def tell(self, phase: str) -> None:
        """Report a phase, once MXNet's engine has come there."""
        self._steps.join()
        self._write(self.step, phase)

    def begin_step(self, gradient: Any, parameters: Any) -> None:
        """Report a step that MXNet's engine has been given.

        Args:
            gradient: an array that is ready once the step's gradients are computed.
            parameters: an array that is ready once its parameters are updated.
        """
        self.step += 1
        self._steps.put(_Step(self.step, gradient, parameters))

    def close(self) -> None:
        """End the thread, which must not wait for an engine that is gone."""
        self._steps.put(None)
        self._thread.join()

    def _write(self, step: int, phase: str) -> None:
        line = f"{self._rank} {step} {phase}".ljust(_WIDTH).encode("ascii")
        os.pwrite(self._file, line + b"\n", 0)

    def _follow(self) -> None:
        while True:
            step = self._steps.get()
            try:
                if step is None:
                    return
                self._write(step.number, COMPUTE)
                step.gradient.wait_to_read()
                self._write(step.number, WAIT)
                step.parameters.wait_to_read()
                if self._steps.empty():
                    self._write(step.number, DATA)
            except mx.MXNetError:
                pass  # the script is told as well
            finally:
                self._steps.task_done()
