"""The display on real terminals: a pseudo-terminal, and tmux, which wraps lines anew."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.repositories import ROOT
from tests.support.screen import Terminal

REPLAY = (sys.executable, "-m", "tests.training.watch.programs.replay")
TITLE = "stage 2 (softmax)"

pytestmark = pytest.mark.long


def replay(folder: Path, seconds: float = 0.05) -> list[str]:
    return [*REPLAY, str(folder), str(seconds)]


def assert_whole(lines: list[str], width: int) -> None:
    """Check that the display is there once, with nothing left of earlier ones."""
    text = "\n".join(lines)
    assert text.count(TITLE) == 1, text
    assert len(re.findall(r"^step [\d,]+|^[\d,]+/[\d,]+", text, re.MULTILINE)) == 1, text
    assert text.count("elapsed") == 1, text
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 50, 20])
def test_from_the_first_line_to_the_last(tmp_path: Path, width: int) -> None:
    with Terminal(replay(tmp_path, 0.02), width, 40) as terminal:
        terminal.wait_for(lambda: TITLE in terminal.text)
        terminal.wait_for(lambda: "agedb_30" in terminal.text)
        assert_whole(terminal.lines, width)
        assert terminal.wait() == 0
        assert terminal.wrapped == []
        assert not terminal.cursor_is_hidden
        *shown, ended = terminal.lines
        assert ended == "ended None"
        assert_whole(shown, width)
        assert not any(line == "" for line in shown)


def test_while_the_terminal_is_resized(tmp_path: Path) -> None:
    with Terminal(replay(tmp_path), 80, 40) as terminal:
        terminal.wait_for(lambda: "agedb_30" in terminal.text)
        for width in (50, 20, 80, 37, 100):
            terminal.resize(width, 40)
            drawn = len(terminal.written)
            terminal.wait_for(lambda drawn=drawn: len(terminal.written) > drawn)  # type: ignore[misc]
            time.sleep(0.1)
            assert_whole(terminal.lines, width)
        assert terminal.wait() == 0
        assert not terminal.cursor_is_hidden


def test_in_a_terminal_of_a_few_rows(tmp_path: Path) -> None:
    with Terminal(replay(tmp_path), 20, 8) as terminal:
        terminal.wait_for(lambda: "loss" in terminal.text or "accuracy" in terminal.text)
        first = terminal.lines
        terminal.wait_for(lambda: terminal.lines != first)
        assert first[0] == terminal.lines[0] == TITLE
        assert len(terminal.lines) == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_cursor_after_an_interruption(tmp_path: Path, number: signal.Signals) -> None:
    with Terminal(replay(tmp_path, 0.2), 80) as terminal:
        terminal.wait_for(lambda: "step" in terminal.text.replace("the first step", ""))
        if number is signal.SIGINT:
            terminal.press(b"\x03")
        else:
            terminal.process.send_signal(number)
        status = terminal.wait()
        assert status == (-number if number is signal.SIGKILL else 0)
        assert not terminal.cursor_is_hidden
        assert_whole([line for line in terminal.lines if not line.startswith("ended")], 80)
        assert terminal.screen.cursor.x == 0, "the shell's prompt begins a line"
        assert terminal.wrapped == []
        if number is not signal.SIGKILL:
            assert f"{number.name}: waiting for the script to stop" in terminal.text


def test_standard_error_in_a_file_gets_what_is_logged(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    command = f'exec {" ".join(replay(tmp_path, 0.2))} 2> "{errors}"'
    with Terminal(["bash", "-c", command], 80) as terminal:
        terminal.wait_for(lambda: "elapsed" in terminal.text)
        terminal.press(b"\x03")
        assert terminal.wait() == 0
        assert "waiting for the script" in errors.read_text()
        assert "waiting for the script" not in terminal.text


# -- a terminal that wraps what it shows anew --------------------------------------------------


class Tmux:
    """A terminal of tmux, which wraps the lines on its screen anew when it is resized."""

    def __init__(self, folder: Path, width: int, command: str) -> None:
        self._socket = str(folder / "tmux")
        size = ("-x", str(width), "-y", "60")
        self("new-session", "-d", *size, "bash", "-c", f"seq 100 159; {command}; sleep 60")

    def __call__(self, *arguments: str) -> str:
        # A program takes the width that may be set here for that of its terminal.
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        ran = subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *arguments],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=True,
            cwd=ROOT,
            env={**environment, "LC_ALL": "C.UTF-8"},
        )
        return ran.stdout

    def lines(self) -> list[str]:
        return self("capture-pane", "-p", "-S", "-").rstrip("\n").split("\n")

    def resize(self, width: int) -> None:
        """Resize the terminal while the program is stopped.

        tmux wraps the lines at once, but tells the program a quarter of a second later. What it
        drew in between would be for another width, and could stay.
        """
        shell = self("display-message", "-p", "#{pane_pid}").strip()
        program = int(Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])
        os.kill(program, signal.SIGSTOP)
        time.sleep(0.5)  # for tmux to show what the program has written
        self("resize-window", "-x", str(width), "-y", "60")
        time.sleep(0.6)
        os.kill(program, signal.SIGCONT)


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux, a terminal that wraps lines anew: apt-get install tmux")
    terminal = Tmux(tmp_path, 80, " ".join(replay(tmp_path, 0.1)))
    yield terminal
    terminal("kill-server")


def test_where_a_resize_wraps_lines_anew(tmux: Tmux) -> None:
    def wait_for(text: str) -> None:
        end = time.monotonic() + 60
        while not any(text in line for line in tmux.lines()):
            assert time.monotonic() < end, tmux.lines()
            time.sleep(0.05)

    wait_for("agedb_30")
    for width in (50, 20, 60, 80):
        tmux.resize(width)
        time.sleep(1)
        lines = tmux.lines()
        before, shown = lines[:60], lines[60:]
        assert before == [str(number) for number in range(100, 160)], "what was there stays"
        assert_whole(shown, width)
    wait_for("ended None")
    assert_whole(tmux.lines()[60:], 80)
