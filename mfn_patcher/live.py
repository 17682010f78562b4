"""Drawing on a terminal that may be resized, by a process that may be killed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import (
        Console,
        ConsoleOptions,
        ConsoleRenderable,
        RenderableType,
        RenderResult,
    )


class TerminalLive(Live):
    """rich's Live, with two differences.

    When a terminal becomes narrower, it wraps the lines that were drawn into more rows than rich
    knows of. Those are erased as well.

    The cursor stays visible, on a line of its own below the lines that are drawn. Nothing has to be
    restored if the process is killed, and what the shell prints next begins on a new line.

    Args:
        console: the terminal.
        draw: returns what to draw.
        transient: whether to erase it at the end.
        auto_refresh: whether a thread draws it ten times a second.
    """

    def __init__(
        self,
        console: Console,
        draw: Callable[[], RenderableType],
        *,
        transient: bool = False,
        auto_refresh: bool = False,
    ) -> None:
        super().__init__(
            console=console,
            auto_refresh=auto_refresh,
            refresh_per_second=10,
            transient=transient,
            # What is written to these appears above what is drawn; but one may be a file.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
            get_renderable=lambda: self,
        )
        self._draw = draw
        self._lengths: list[int] = []

    def start(self, refresh: bool = False) -> None:
        """Start drawing."""
        # rich hides the cursor. What is written within the context reaches the terminal at once.
        with self.console:
            super().start()
            self.console.show_cursor(True)
        if refresh:
            self.refresh()

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Return what rich draws, after the erasure of rows that it does not know of."""
        return [self._erase_wrapped_rows(), *super().process_renderables(renderables)]

    def _erase_wrapped_rows(self) -> Control:
        rows = sum(max(1, -(-length // self.console.width)) for length in self._lengths)
        row_up = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
        return Control(*(row_up * (rows - len(self._lengths))))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._draw(), options, pad=False)
        if self.is_started:
            # One row fewer than the terminal has, and an empty one for the cursor.
            lines = [*lines[: max(1, console.height - 2)], [Segment("")]]
        self._lengths = [Segment.get_line_length(line) for line in lines]
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line
