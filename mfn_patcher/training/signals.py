"""Signals that this process receives, passed on to a child process."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Callable
from types import FrameType

_LOG = logging.getLogger(__name__)

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class SignalForwarding:
    """Passes signals on to a child, including those that arrive before the child has started.

    Args:
        on_signal: called with each signal that is passed on, from the signal handler.
    """

    def __init__(self, on_signal: Callable[[signal.Signals], None]) -> None:
        self._on_signal = on_signal
        self._received: list[signal.Signals] = []
        self._passed = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._previous: dict[signal.Signals, object] = {}

    @property
    def first(self) -> signal.Signals | None:
        """The first signal that was received; None if there was none."""
        return self._received[0] if self._received else None

    def attach(self, child: subprocess.Popen[bytes]) -> None:
        """Pass signals on to this child from now on."""
        self._child = child
        self._pass_on()

    def __enter__(self) -> SignalForwarding:
        for number in _FORWARDED:
            # An ignored signal stays ignored: nohup wants that, and shells for background jobs.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        # The handler passes it on itself: the main loop may be blocked writing to a full pipe.
        self._received.append(signal.Signals(number))
        self._pass_on()

    def _pass_on(self) -> None:
        while self._child is not None and self._passed < len(self._received):
            first = self._passed == 0
            self._passed += 1
            received = self._received[self._passed - 1]
            signal_group(self._child, received if first else signal.SIGKILL)
            self._on_signal(received)
            # A message cannot be written in the middle of another one.
            with contextlib.suppress(RuntimeError):
                if first:
                    _LOG.info(
                        "%s: waiting for the script to stop; send it again to kill the script",
                        received.name,
                    )
                else:
                    _LOG.info("%s: killed the script", received.name)


def signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a child's process group, unless the child has been waited for.

    Once it has been, its process id may belong to another process.
    """
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
