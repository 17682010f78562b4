from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from mfn_patcher.runs.events import CheckpointSaved, LearningRate, Speed, Verification
from mfn_patcher.runs.log import read_events
from mfn_patcher.training.watch.alarms import Alarm
from mfn_patcher.training.watch.display import Display, duration
from tests.support.repositories import ROOT

SAMPLE = ROOT / "tests/recorded/training.log"


class Shown:
    def __init__(self, steps: int | None = 40000, width: int = 100) -> None:
        self.now = 0.0
        self.out = io.StringIO()
        console = Console(file=self.out, width=width, force_terminal=True, color_system=None)
        self.display = Display("stage 2 (softmax)", steps, 512, console, clock=lambda: self.now)

    def text(self) -> str:
        console = Console(width=100, color_system=None)
        with console.capture() as capture:
            console.print(self.display.render())
        return capture.get()

    def speed(self, step: int, speed: float = 500.0) -> None:
        self.display(Speed(None, 0, step - 1, step, speed, 0.25, 1.5))


def test_before_the_first_step_the_script_is_seen_to_live() -> None:
    shown = Shown()
    shown.display.heard(b"loading recordio\nhalf a li")
    assert "loading recordio" in shown.text()
    assert "half" not in shown.text()
    assert "step 0 of 40,000" in shown.text()
    shown.speed(21)
    assert "loading recordio" not in shown.text()


def test_speed_and_time_to_go() -> None:
    shown = Shown()
    shown.speed(21)
    shown.now = 1000.0
    shown.speed(1021, 530.0)
    shown.display(LearningRate(None, 0, 0.1))
    text = shown.text()
    assert "step 1,021 of 40,000" in text
    assert "530 images/s (mean 512)" in text
    assert "10:49:39 left" in text  # 38,979 steps at one a second
    assert "lr 0.1" in text
    assert "accuracy 0.2500" in text
    assert "loss 1.5000" in text


def test_no_step_beyond_the_last() -> None:
    shown = Shown(60)
    shown.speed(61)
    assert "step 60 of 60 " in shown.text()
    assert "100.0%" in shown.text()
    assert "101.7%" not in shown.text()


def test_the_last_verification_and_the_best() -> None:
    shown = Shown()
    for step, accuracy in ((2000, 0.98), (4000, 0.97)):
        shown.display(Verification(None, "lfw", step, accuracy, 0.01, 9.0, None, None))
    shown.display(CheckpointSaved(None, 2, "model-0002.params", 4000))
    rows = [line.split() for line in shown.text().splitlines()]
    assert ["lfw", "4,000", "97.00%", "98.00%", "2,000"] in rows
    assert "checkpoint 2 saved: model-0002.params" in shown.text()


def test_alarms_stay() -> None:
    shown = Shown()
    shown.display(Alarm(None, "disk", "only 3 MB are free"))
    shown.speed(21)
    assert "! only 3 MB are free" in shown.text()


def test_without_an_end() -> None:
    shown = Shown(steps=None)
    shown.speed(21)
    assert "step 21 " in shown.text()
    assert " left" not in shown.text()


def test_drawn_now_and_then_and_at_the_end() -> None:
    shown = Shown()
    with shown.display:
        for event in read_events(SAMPLE.open("rb")):
            shown.display(event)
            shown.display.tick()
        drawn = shown.out.getvalue().count("stage 2")
        assert drawn == 1, "time did not go on"
        shown.now = 1.1
        shown.display.tick()
        assert shown.out.getvalue().count("stage 2") == 2
    assert shown.out.getvalue().count("stage 2") >= 3


@pytest.mark.parametrize("width", [20, 40, 200])
def test_on_any_terminal(width: int) -> None:
    shown = Shown(width=width)
    with shown.display:
        for event in read_events(SAMPLE.open("rb")):
            shown.display(event)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.out.getvalue().replace("\r", "\n"))
    assert max(len(line) for line in plain.splitlines()) <= width


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "00:00:00"), (3661, "01:01:01"), (200000, "2 d 07:33")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
