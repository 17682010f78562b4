"""Lines of text that fit a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.progress_bar import ProgressBar
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

_GAP = "   "
_NARROWEST_BAR = 10


def flow(parts: Iterable[str | Text], width: int) -> list[Text]:
    """Return lines of as many parts as fit each of them; a part that fits none is cut.

    Args:
        parts: the parts, in order.
        width: cells in a line.
    """
    lines: list[Text] = []
    for part in parts:
        text = Text(part) if isinstance(part, str) else part
        if lines and lines[-1].cell_len + len(_GAP) + text.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], _GAP, text)
        else:
            lines.append(text)
    return [cut(line, width) for line in lines]


def cut(text: Text, width: int) -> Text:
    """Return one line of a text, with an ellipsis in place of what does not fit."""
    line = text.copy()
    line.truncate(width, overflow="ellipsis")
    return line


def wrap(text: Text, console: Console, width: int) -> list[Text]:
    """Return a text in lines that break between words."""
    return list(text.wrap(console, width))


def bar_line(
    before: str, after: Sequence[str], share: float, console: Console, width: int
) -> list[Text]:
    """Return a progress bar between two texts, or below them if the line is too narrow.

    Args:
        before: text before the bar.
        after: texts after the bar.
        share: how much of the bar is filled, 0 to 1.
        console: the terminal.
        width: cells in a line.
    """
    end = _GAP.join(after)
    left = width - cell_len(before) - cell_len(end) - 2 * len(_GAP)
    if left >= _NARROWEST_BAR:
        return [Text.assemble(before, _GAP, _bar(share, console, left), _GAP, end)]
    return [*flow([before, *after], width), _bar(share, console, width)]


def _bar(share: float, console: Console, width: int) -> Text:
    bar = ProgressBar(total=1, completed=share, width=width)
    segments = console.render(bar, console.options)
    text = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
    # Without colours, rich draws only what is filled.
    text.pad_right(width - text.cell_len)
    return text


def table(rows: Sequence[Sequence[str]], width: int) -> list[Text]:
    """Return a table in lines, without the last columns that do not fit.

    Args:
        rows: its rows; the first is the header. The first column is aligned left, all others right.
        width: cells in a line.
    """
    widths = [max(map(cell_len, column)) for column in zip(*rows)]
    while len(widths) > 1 and sum(widths) + 2 * (len(widths) - 1) > width:
        widths.pop()
    lines = []
    for number, row in enumerate(rows):
        spaces = [" " * (each - cell_len(cell)) for cell, each in zip(row, widths)]
        others = (space + cell for cell, space in zip(row[1:], spaces[1:]))
        cells = [row[0] + spaces[0], *others]
        lines.append(cut(Text("  ".join(cells), style="" if number else "dim"), width))
    return lines
