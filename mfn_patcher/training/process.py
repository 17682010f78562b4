"""Running the script as a child: its output live and in a log, signals passed on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

_POLL = 0.05  # seconds
_CHUNK = 1 << 20  # bytes
_TAIL_BYTES = 1 << 16
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_PATIENCE = 30.0  # seconds that a child may take to stop before it is killed


class Stop(Exception):  # noqa: N818  (an order, not an error)
    """Raised by a watcher to end the child; its text says why.

    Args:
        why: The text.
        patience: Seconds that the child may take to stop before it is killed.
    """

    def __init__(self, why: str, patience: float | None = None) -> None:
        super().__init__(why)
        self.patience = _PATIENCE if patience is None else patience


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        status: Its exit status; -N if signal N ended it.
        signal: The signal that this process received meanwhile, and passed on.
        seconds: From start to end.
        tail: The last lines of its output.
        stopped: Why a watcher ended it; None if none did.
    """

    status: int
    signal: signal.Signals | None
    seconds: float
    tail: tuple[str, ...]
    stopped: str | None = None


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    output: BinaryIO,
    watch: Callable[[bytes], None] = lambda _: None,
    tick: Callable[[], None] = lambda: None,
    guard: Callable[[], None] = lambda: None,
    report: Callable[[str], None] = lambda _: None,
    started: Callable[[int], None] = lambda _: None,
    received: Callable[[signal.Signals], None] = lambda _: None,
    tail_lines: int = 15,
) -> Ended:
    """Run a command to its end; no exception here leaves it running.

    The child writes straight into the log, so neither a slow terminal nor the end of this
    process can hold it up or lose output; what it writes is copied to `output` from there. The
    log is locked as long as anybody writes into it, which `is_written` asks.

    SIGINT, SIGTERM and SIGHUP are passed on to the child and all its children, and waited for;
    a second one kills them.

    Args:
        command: Program and arguments.
        folder: To run in.
        environment: Of the child.
        log: Appended to.
        output: Gets the same bytes, live, until it breaks.
        watch: Called with the same bytes, before `output`; with none at the end. If it fails,
            that is reported, and the run goes on without it and without `tick`.
        tick: Called many times a second, whether something was written or not. If it raises
            `Stop`, the child is ended.
        guard: As `tick`, but called whatever has failed.
        report: Called with a line when a signal is passed on.
        started: Called with the child's number.
        received: Called with each signal that is passed on, from its handler.
        tail_lines: How many lines to return.
    """
    began = time.monotonic()
    with log.open("ab") as writing, log.open("rb") as reading:
        offset = reading.seek(0, os.SEEK_END)
        fcntl.flock(writing, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with _Signals(report, received) as signals:
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                # Its own group: the terminal's Ctrl-C reaches it through us only, and once.
                start_new_session=True,
            )
            try:
                signals.pass_on_to(child)
                started(child.pid)
                stopped = _mirror(child, reading, output, _Watched(watch, tick, report), guard)
            finally:
                if child.poll() is None:
                    _signal_group(child, signal.SIGKILL)
                    child.wait()
        tail = _tail(reading, offset, tail_lines)
    return Ended(child.returncode, signals.first, time.monotonic() - began, tail, stopped)


def is_written(log: Path) -> bool:
    """Return whether a child that `run` started, in whichever process, is still at work."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class _Signals:
    """Catches signals and passes them on, also those that come before there is a child."""

    def __init__(
        self, report: Callable[[str], None], listener: Callable[[signal.Signals], None]
    ) -> None:
        self._report = report
        self._listener = listener
        self._received: list[signal.Signals] = []
        self._passed = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._previous: dict[signal.Signals, object] = {}

    @property
    def first(self) -> signal.Signals | None:
        return self._received[0] if self._received else None

    def pass_on_to(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._pass_on()

    def __enter__(self) -> _Signals:
        for number in _SIGNALS:
            # Ignored is meant so: nohup does it, and shells for background jobs.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        # Passed on from here, not from the loop, which may be stuck writing to a full pipe.
        self._received.append(signal.Signals(number))
        self._pass_on()

    def _pass_on(self) -> None:
        while self._child is not None and self._passed < len(self._received):
            first = self._passed == 0
            self._passed += 1
            name = self._received[self._passed - 1].name
            _signal_group(self._child, self._received[0] if first else signal.SIGKILL)
            self._listener(self._received[self._passed - 1])
            # What can't be told, to a broken pipe or while telling, must not end the run.
            with contextlib.suppress(OSError, RuntimeError):
                self._report(
                    f"{name}: waiting for the script to stop; once more kills it"
                    if first
                    else f"{name}: killed the script"
                )


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Once the child is waited for, its number may be somebody else's.
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)


class _Watched:
    """Calls a watcher until it fails: no bug in watching may end days of training."""

    def __init__(
        self,
        watch: Callable[[bytes], None],
        tick: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        self._watch = watch
        self._tick = tick
        self._report = report
        self._failed = False

    def heard(self, chunk: bytes) -> None:
        if not self._failed:
            try:
                self._watch(chunk)
            except Exception as error:
                self._fail(error)

    def tick(self) -> None:
        if not self._failed:
            try:
                self._tick()
            except Stop:
                raise
            except Exception as error:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failed = True
        with contextlib.suppress(OSError):
            self._report(f"the run is not watched any more: {error!r}")


def _mirror(
    child: subprocess.Popen[bytes],
    reading: BinaryIO,
    output: BinaryIO,
    watched: _Watched,
    guard: Callable[[], None],
) -> str | None:
    """Copy what the child writes until it ends; return why it was told to, if it was."""
    copying = True
    running = True
    stopped: str | None = None
    deadline = 0.0
    while running:
        # Asked before reading: what it wrote before it ended is then read.
        running = child.poll() is None
        for chunk in _chunks(reading):
            watched.heard(chunk)
            if not copying:
                continue
            try:
                output.write(chunk)
                output.flush()
            except OSError:
                # Nobody can watch any more; that is no reason to stop training.
                copying = False
                os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        if not running:
            break
        if stopped is None:
            try:
                guard()
                watched.tick()
            except Stop as stop:
                stopped, deadline = str(stop), time.monotonic() + stop.patience
                _signal_group(child, signal.SIGTERM)
        elif time.monotonic() > deadline:
            _signal_group(child, signal.SIGKILL)
        time.sleep(_POLL)
    watched.heard(b"")
    return stopped


def _chunks(reading: BinaryIO) -> Iterator[bytes]:
    while chunk := reading.read(_CHUNK):
        yield chunk


def _tail(reading: BinaryIO, offset: int, lines: int) -> tuple[str, ...]:
    end = reading.seek(0, os.SEEK_END)
    reading.seek(max(offset, end - _TAIL_BYTES))
    return tuple(reading.read().decode("utf-8", "replace").splitlines()[-lines:])
