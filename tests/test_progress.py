"""Progress: how modules report it, and the bars that a terminal shows."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mfn_patcher import progress
from mfn_patcher.progress import Task, task
from tests.support.repositories import ROOT
from tests.support.screen import Terminal

TOOL = (sys.executable, "-m", "mfn_patcher")


# Beside the 120 images of the verification sets.
FEW = ("--identities", "1", "--images-per-identity", "1")


def synth(folder: Path, *options: str) -> list[str]:
    return [*TOOL, "data", "synth", str(folder / "made"), "--identities", "6", *options]


def test_tasks_are_told_while_they_last() -> None:
    seen: list[list[str]] = []
    with progress.watch(lambda: seen.append([each.description for each in progress.running()])):
        with task("outer", 2) as outer:
            with task("inner"):
                pass
            outer.advance()
            assert (outer.done, outer.total) == (1, 2)
        with pytest.raises(ValueError, match="x"), task("failing"):
            raise ValueError("x")
    with task("unseen"):
        pass
    assert seen == [["outer"], ["outer", "inner"], ["outer"], [], ["failing"], []]


def test_the_same_task_twice_is_two_tasks() -> None:
    with task("one") as first, task("one") as second:
        assert progress.running() == (first, second)


def test_a_number_of_parts_that_is_known_later() -> None:
    begun = Task("x")
    begun.reach(3, 9)
    assert (begun.done, begun.total) == (3, 9)


@pytest.mark.long
@pytest.mark.parametrize("width", [80, 50, 20])
def test_a_bar(tmp_path: Path, width: int) -> None:
    with Terminal(synth(tmp_path, "-v"), width) as terminal:
        terminal.wait_for(lambda: "/240" in terminal.text)
        bar = [line for line in terminal.lines if "drawing faces" in line]
        assert len(bar) == 1
        terminal.resize(width // 2 + 10)
        time.sleep(0.5)
        assert len([line for line in terminal.lines if "drawing faces" in line]) == 1
        terminal.resize(80)
        assert terminal.wait(120) == 0
        assert "drawing faces" not in terminal.text, "it is erased at the end"
        assert "train.rec" in terminal.text
        assert not terminal.cursor_is_hidden


@pytest.mark.long
def test_a_bar_of_a_killed_command(tmp_path: Path) -> None:
    with Terminal(synth(tmp_path), 80) as terminal:
        terminal.wait_for(lambda: "/240" in terminal.text)
        terminal.process.send_signal(signal.SIGTERM)
        terminal.wait()
        assert not terminal.cursor_is_hidden
        assert terminal.screen.cursor.x == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "environment"), [(["-q"], {}), ([], {"TERM": "dumb"})], ids=["quiet", "dumb"]
)
def test_no_bar(tmp_path: Path, options: list[str], environment: dict[str, str]) -> None:
    with Terminal(synth(tmp_path, *FEW, *options), 80, environment=environment) as terminal:
        assert terminal.wait(120) == 0
        assert b"\x1b" not in terminal.written
        assert b"faces  " not in terminal.written
        assert "train.rec" in terminal.text


PRINTING = """
import logging, time
from mfn_patcher.cli.bars import show_bars
from mfn_patcher.cli.terminal import echo, show_log
from mfn_patcher.progress import task
show_log(logging.INFO)
with show_bars(), task("waiting"):
    time.sleep(1.5)
    echo("a result")
    echo("a message", err=True)
    time.sleep(0.5)
"""


@pytest.mark.long
def test_what_is_printed_beside_a_bar(tmp_path: Path) -> None:
    result = tmp_path / "result"
    program = tmp_path / "program.py"
    program.write_text(PRINTING)
    for redirection, shown in ((f'> "{result}"', ["a message"]), ("", ["a result", "a message"])):
        command = f'"{sys.executable}" "{program}" {redirection}'
        with Terminal(["bash", "-c", command], 80) as terminal:
            terminal.wait_for(lambda terminal=terminal: "waiting   1 s" in terminal.text)  # type: ignore[misc]
            assert terminal.wait() == 0
            assert terminal.lines == shown
    assert result.read_text() == "a result\n"


def test_no_bar_in_a_pipe(tmp_path: Path) -> None:
    ran = subprocess.run(synth(tmp_path, *FEW), capture_output=True, check=True, cwd=ROOT)
    assert b"\x1b" not in ran.stdout + ran.stderr
    assert ran.stderr.count(b"\n") == 1


def test_a_fast_command_draws_nothing(tmp_path: Path) -> None:
    with Terminal([*TOOL, "lint", "--project", str(ROOT)], 80) as terminal:
        assert terminal.wait() == 0
        assert b"\x1b[" not in terminal.written.replace(b"\x1b[0m", b"")
    assert threading.active_count() < 10
