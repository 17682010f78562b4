"""Progress bars on standard error, for tasks that take more than a moment."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mfn_patcher import progress
from mfn_patcher.cli.terminal import can_redraw
from mfn_patcher.printable import one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from mfn_patcher.live import TerminalLive

_DELAY = 0.7  # seconds; what is faster shows no bar
_LOG = logging.getLogger(__name__)


class _Bars:
    """Draws the running tasks, from a thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._live: TerminalLive | None = None

    def __call__(self) -> None:
        """Begin to draw once there is a task; end when there is none."""
        with self._lock:
            if not progress.running():
                self.stop()
            elif self._timer is None and _LOG.isEnabledFor(logging.INFO):
                self._timer = threading.Timer(_DELAY, self._start)
                self._timer.daemon = True
                self._timer.start()

    def stop(self) -> None:
        """Erase the bars."""
        with self._lock:
            timer, self._timer = self._timer, None
            live, self._live = self._live, None
            if timer:
                timer.cancel()
        # Its thread may be waiting for the lock of a task that ends.
        if live:
            live.stop()

    def _start(self) -> None:
        from rich.console import Console

        from mfn_patcher.live import TerminalLive

        console = Console(stderr=True, highlight=False)
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # the task has ended
            self._live = TerminalLive(
                console, lambda: _render(console), transient=True, auto_refresh=True
            )
            self._live.start(refresh=True)


def _render(console: Console) -> RenderableType:
    from rich.console import Group

    from mfn_patcher import lines

    drawn = []
    for task in progress.running():
        elapsed = time.monotonic() - task.began
        text, seconds = one_line(task.description), f"{elapsed:.0f} s"
        if task.total:
            share = min(1, task.done / task.total)
            after = [f"{task.done:,}/{task.total:,}"]
            if 0 < share < 1:
                after.append(f"{elapsed / share - elapsed:.0f} s left")
            drawn += lines.bar_line(text, after, share, console, console.width)
        else:
            drawn += lines.flow([text, seconds], console.width)
    return Group(*drawn)


@contextlib.contextmanager
def show_bars() -> Iterator[None]:
    """Show the progress of tasks while the context lasts, if standard error is a terminal.

    With --quiet there are no bars.
    """
    if not can_redraw(sys.stderr):
        yield
        return
    bars = _Bars()
    with progress.watch(bars):
        try:
            yield
        finally:
            bars.stop()
