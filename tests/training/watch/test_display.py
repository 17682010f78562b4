from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from mfn_patcher.runs.events import (
    Arguments,
    CheckpointSaved,
    LearningRate,
    Resumed,
    Schedule,
    Speed,
    TrainingSet,
    Verification,
)
from mfn_patcher.runs.log import read_events
from mfn_patcher.training.watch.alarms import Alarm
from mfn_patcher.training.watch.display import Display, duration
from tests.support.runs import SAMPLE, SHORT_EPOCHS


class Shown:
    def __init__(self, folder: Path = Path("/none"), steps: int | None = 40000) -> None:
        self.now = 0.0
        self.folder = folder
        self.console = Console(file=io.StringIO(), force_terminal=True, color_system=None)
        self.display = Display(
            "stage 2 (softmax)",
            folder,
            steps,
            512,
            self.console,
            others=lambda: ["rank 1 on b: at step 7 (computing)"],
            clock=lambda: self.now,
        )

    def text(self, width: int = 100) -> str:
        lines = self.display.render(width)
        assert max(line.cell_len for line in lines) <= width
        return "\n".join(line.plain for line in lines)

    def speed(self, step: int, speed: float = 500.0) -> None:
        self.display(Speed(None, 0, step - 1, step, speed, 0.25, 1.5))

    def progress(self, step: int, phase: str, used: int = 0, total: int = 0) -> None:
        line = f"0 {step} {phase} {used} {total}".ljust(79)
        (self.folder / "progress").write_text(f"{line}\n")
        self.now += 2
        self.display.tick()


def test_what_happens_before_the_first_step(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    shown.display.heard(b"loading recordio\nhalf a li")
    text = shown.text()
    assert "loading recordio" in text
    assert "half" not in text
    assert "starting Python" in text
    assert "step" not in text.replace("at step 7", "")
    shown.progress(0, "start")
    shown.display(Arguments(None, {"lr": 0.1}))
    assert "building the network" in shown.text()
    shown.display(TrainingSet(None, 400, 20))
    assert "loading the verification sets" in shown.text()
    shown.display(Schedule(None, (700,)))
    assert "computing the first step" in shown.text()
    assert "compile" in shown.text()
    shown.progress(1, "data")
    text = shown.text()
    assert "step 1 of 40,000" in text
    assert "loading recordio" not in text


def test_a_resumed_run_is_in_its_first_step_until_that_is_done(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    shown.display(Schedule(None, (700,)))
    shown.display(Resumed(None, 2, 1000))
    shown.progress(1000, "start")
    assert "computing the first step" in shown.text()
    shown.progress(1001, "data")
    assert "step 1,001 of 40,000" in shown.text()


def test_each_step_is_shown_and_what_else_is_done(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    shown.progress(1, "data", 3 << 29)
    assert "memory 1.5 GiB" in shown.text()
    shown.progress(3, "verify", 5 << 30, 80 << 30)
    text = shown.text()
    assert "step 3 of 40,000" in text
    assert "GPU 5.0/80.0 GiB" in text
    assert "512 images/s" in text  # two steps in two seconds
    assert "verifying" in text
    assert "rank 1 on b: at step 7 (computing)" in text
    shown.progress(3, "save")
    assert "saving a checkpoint" in shown.text()
    (shown.folder / "progress").write_text("")
    shown.now += 2
    shown.display.tick()
    assert "step 3 of 40,000" in shown.text(), "a line that cannot be read changes nothing"


def test_speed_and_time_to_go() -> None:
    shown = Shown()
    shown.speed(21)
    shown.now = 1000.0
    shown.speed(1021, 530.0)
    shown.display(LearningRate(None, 0, 0.1))
    text = shown.text()
    assert "step 1,021 of 40,000" in text
    assert "530 images/s   mean 512" in text
    assert "10:49:39 left" in text  # 38,979 steps at one a second
    assert "lr 0.1" in text
    assert "accuracy 0.2500" in text
    assert "loss 1.5000" in text


def test_loss_and_accuracy_of_short_epochs() -> None:
    shown = Shown(steps=7)
    with SHORT_EPOCHS.open("rb") as lines:
        for event in read_events(lines):
            shown.display(event)
    assert "loss 2.7635   accuracy 0.5000   0.76 images/s" in shown.text()


def test_no_step_beyond_the_last() -> None:
    shown = Shown(steps=60)
    shown.speed(61)
    assert "step 60 of 60" in shown.text()
    assert "100.0%" in shown.text()
    assert "101.7%" not in shown.text()


def test_the_last_verification_and_the_best() -> None:
    shown = Shown()
    for step, accuracy in ((2000, 0.98), (4000, 0.97)):
        shown.display(Verification(None, "lfw", step, accuracy, 0.01, 9.0, None, None))
    shown.display(CheckpointSaved(None, 2, "model-0002.params", 4000))
    rows = [line.split() for line in shown.text().splitlines()]
    assert ["lfw", "97.00%", "98.00%", "4,000", "2,000"] in rows
    assert "checkpoint 2 saved: model-0002.params" in shown.text()


def test_alarms_stay() -> None:
    shown = Shown()
    shown.display(Alarm(None, "disk", "only 3 MB are free"))
    shown.speed(21)
    assert "! only 3 MB are free" in shown.text()


def test_without_an_end() -> None:
    shown = Shown(steps=None)
    shown.speed(21)
    assert "step 21\n" in shown.text()
    assert " left" not in shown.text()
    assert "%" not in shown.text()


@pytest.mark.parametrize("width", [1, 10, 20, 37, 50, 80, 200])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    shown = Shown(tmp_path)
    shown.display(Alarm(None, "disk", "only 3 MB are free in /data/models/MobileFaceNet"))
    for number, event in enumerate(read_events(SAMPLE.open("rb"))):
        shown.display(event)
        if not number % 20:
            shown.progress(number + 1, "data", 5 << 30, 80 << 30)
            assert shown.text(width)


def test_in_a_narrow_terminal_the_important_columns_stay() -> None:
    shown = Shown()
    shown.speed(160000)
    shown.display(Verification(None, "agedb_30", 156000, 0.98, 0.01, 9.0, None, None))
    text = shown.text(20)
    assert "agedb_30    98.00%" in text
    assert "at step " not in text.replace("at step 7", "")
    assert "160,000/40,000" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "00:00:00"), (3661, "01:01:01"), (200000, "2 d 07:33")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
