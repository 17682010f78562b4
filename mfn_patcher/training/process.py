"""Running the script as a child process: output live and in a log, signals passed on."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from mfn_patcher.runs import output as run_output
from mfn_patcher.runs.log import Watcher
from mfn_patcher.training.signals import SignalForwarding, signal_group

_LOG = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 30.0
_CHUNK = 1 << 20  # bytes
_TAIL_BYTES = 1 << 16
_TAIL_LINES = 15


class Stop(Exception):  # noqa: N818  (an order, not an error)
    """Raised by a `Listener` or a `Watcher` to end the child; its text gives the reason.

    Args:
        reason: the text.
        grace: seconds that the child has to stop before it is killed; None for the default.
    """

    def __init__(self, reason: str, grace: float | None = None) -> None:
        super().__init__(reason)
        self.grace = _GRACE_SECONDS if grace is None else grace


@dataclass(frozen=True)
class Launch:
    """A program to run.

    Attributes:
        command: program and arguments.
        folder: working directory.
        environment: environment variables.
        log: file that the output is appended to.
        inherited: descriptors that it inherits.
    """

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    log: Path
    inherited: Sequence[int] = ()


@dataclass(frozen=True)
class ExitResult:
    """How a child process ended.

    Attributes:
        status: its exit status; -N if signal N ended it.
        signal: the first signal that this process received meanwhile and passed on.
        seconds: run time.
        tail: the last lines of its output.
        stopped: the reason given by the `Stop` that ended it; None if there was none.
    """

    status: int
    signal: signal.Signals | None
    seconds: float
    tail: tuple[str, ...]
    stopped: str | None = None


class Listener(Protocol):
    """Follows the child's life. An exception that it raises kills the child and ends the run."""

    def started(self, pid: int) -> None:
        """Take the process id of the child."""

    def received(self, number: signal.Signals) -> None:
        """Take a signal that was passed on to the child; called from the signal handler."""

    def guard(self) -> None:
        """Do what is due; called many times a second.

        Raises:
            Stop: the child must end.
        """


def run(
    launch: Launch,
    output: BinaryIO,
    listener: Listener,
    watcher: Watcher | None = None,
) -> ExitResult:
    """Run a program to its end; no exception here leaves it running.

    The child writes straight into the log, so neither a slow terminal nor the end of this process
    can block it or lose output. The output is copied from the log to `output` and `watcher`. The
    log stays locked until all its writers have ended; see `mfn_patcher.runs.output`.

    SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to the child's process group, and the child is
    waited for; a second signal kills it.

    Args:
        launch: the program.
        output: gets a live copy of the output, until a write fails.
        listener: follows the child's life.
        watcher: watches the output, before it is copied. It may raise `Stop` in `tick`. If it
            raises anything else, the run continues without it.
    """
    began = time.monotonic()
    with launch.log.open("ab") as writing, launch.log.open("rb") as reading:
        offset = reading.seek(0, os.SEEK_END)
        run_output.lock(writing)
        with SignalForwarding(listener.received) as signals:
            child = subprocess.Popen(
                launch.command,
                cwd=launch.folder,
                env=dict(launch.environment),
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                pass_fds=launch.inherited,
                # Its own group: the terminal's Ctrl-C reaches it through us only, and once.
                start_new_session=True,
            )
            try:
                signals.attach(child)
                listener.started(child.pid)
                stopped = _mirror(child, _Copy(reading, output, watcher), listener)
            finally:
                if child.poll() is None:
                    signal_group(child, signal.SIGKILL)
                    child.wait()
        tail = _tail(reading, offset)
    return ExitResult(child.returncode, signals.first, time.monotonic() - began, tail, stopped)


class _Copy:
    """Copies the log as it grows, to the watcher and to the output."""

    def __init__(self, reading: BinaryIO, output: BinaryIO, watcher: Watcher | None) -> None:
        self._reading = reading
        self._output: BinaryIO | None = output
        self._watcher = watcher

    def catch_up(self) -> None:
        """Copy what the log holds by now."""
        while chunk := self._reading.read(_CHUNK):
            self._hear(chunk)
            self._write(chunk)

    def end(self) -> None:
        self._hear(b"")

    def tick(self) -> None:
        if self._watcher:
            try:
                self._watcher.tick()
            except Stop:
                raise
            except Exception as error:
                self._drop_watcher(error)

    def _hear(self, chunk: bytes) -> None:
        if self._watcher:
            try:
                self._watcher.heard(chunk)
            except Exception as error:
                self._drop_watcher(error)

    def _drop_watcher(self, error: Exception) -> None:
        # A bug in the monitoring must not end days of training.
        self._watcher = None
        _LOG.warning("the run is no longer watched, because of a bug in mfn-patch: %r", error)

    def _write(self, chunk: bytes) -> None:
        if self._output is None:
            return
        try:
            self._output.write(chunk)
            self._output.flush()
        except OSError:
            # The reader of the output is gone, which is no reason to stop training.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._output.fileno())
            self._output = None


def _mirror(child: subprocess.Popen[bytes], copy: _Copy, listener: Listener) -> str | None:
    """Copy the child's output until it ends; return why it was stopped, if it was."""
    stopped: str | None = None
    deadline = 0.0
    while True:
        # Checked before reading, so that all output of a child that has ended is read.
        running = child.poll() is None
        copy.catch_up()
        if not running:
            copy.end()
            return stopped
        if stopped is None:
            try:
                listener.guard()
                copy.tick()
            except Stop as stop:
                stopped, deadline = str(stop), time.monotonic() + stop.grace
                signal_group(child, signal.SIGTERM)
        elif time.monotonic() > deadline:
            signal_group(child, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _tail(reading: BinaryIO, offset: int) -> tuple[str, ...]:
    end = reading.seek(0, os.SEEK_END)
    reading.seek(max(offset, end - _TAIL_BYTES))
    return tuple(reading.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:])
