"""Lines that fit a terminal of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from mfn_patcher.lines import bar_line, cut, flow, table, wrap

CONSOLE = Console(file=io.StringIO(), force_terminal=True)
PLAIN = Console(file=io.StringIO(), force_terminal=True, no_color=True)


def plain(lines: list[Text]) -> list[str]:
    return [line.plain for line in lines]


@pytest.mark.parametrize("width", [1, 5, 12, 20, 33, 80])
def test_nothing_is_wider_than_asked(width: int) -> None:
    text = "step 160,000 of 160,000"
    rows = [("set", "accuracy", "step"), ("脸 脸 脸", "97.00%", "160,000")]
    for lines in (
        flow([text, "脸" * 20, "x"], width),
        bar_line(text, ["100.0%", "2 d 03:15 left"], 0.5, CONSOLE, width),
        wrap(Text(f"{text} is what the 脸脸脸脸脸脸脸脸 says"), CONSOLE, width)
        if width > 1
        else [],
        table(rows, width),
        [cut(Text(text), width)],
    ):
        assert all(line.cell_len <= width for line in lines), plain(lines)


def test_parts_flow_into_lines() -> None:
    assert plain(flow(["loss 1.5", "accuracy 0.2", "lr 0.1"], 25)) == [
        "loss 1.5   accuracy 0.2",
        "lr 0.1",
    ]


@pytest.mark.parametrize("console", [CONSOLE, PLAIN], ids=["colours", "no colours"])
def test_a_bar_has_its_place_between_texts_or_below_them(console: Console) -> None:
    (line,) = bar_line("step 3", ["30%"], 0.3, console, 40)
    assert line.cell_len == 40
    assert line.plain.startswith("step 3   ")
    assert line.plain.endswith("   30%")
    texts, bar = bar_line("step 3", ["30%"], 0.3, console, 20)
    assert texts.plain == "step 3   30%"
    assert bar.cell_len == 20


def test_columns_that_do_not_fit_are_left_out() -> None:
    rows = [("set", "accuracy", "step"), ("lfw", "97.00%", "40")]
    assert plain(table(rows, 30)) == ["set  accuracy  step", "lfw    97.00%    40"]
    assert plain(table(rows, 14)) == ["set  accuracy", "lfw    97.00%"]
    assert plain(table(rows, 2)) == ["s…", "l…"]
