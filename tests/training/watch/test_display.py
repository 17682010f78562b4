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
    shown.display.heard(b"ver lfw\nver agedb")
    text = shown.text()
    assert "lfw is loaded" in text
    assert "agedb" not in text
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
    assert "lfw is loaded" not in text


def test_what_the_script_says_to_a_user() -> None:
    """Of all that the script printed in a real run, on the way to its first step."""
    shown = Shown()
    seen = set()
    for line in SHORT_EPOCHS.read_bytes().splitlines(keepends=True):
        before = shown.text().splitlines()
        shown.display.heard(line)
        seen |= {text for text in shown.text().splitlines() if text not in before}
    assert seen == {"lfw is loaded", "cfp_fp is loaded", "agedb_30 is loaded"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("loading ['../models/own/model', '20']", "from ../models/own/model,20"),
        ("loading bin 1000", "1000 images decoded"),
        ("ver \x1b[2Jx", r"\x1b[2Jx is loaded"),
        ("starting at random: fc7_weight (3 x 128 here)", "starting at random: fc7_weight"),
        ("INFO:root:compiling the training step, which can take", "compiling the training step, w"),
        (
            "[22:37:26] src/operator/nn/cudnn/cudnn_algoreg-inl.h:97: Running performance tests "
            "to find the best convolution algorithm, this can take a while... (set the environment "
            "variable MXNET_CUDNN_AUTOTUNE_DEFAULT to 0 to disable)",
            "cuDNN is choosing its fastest convolutions, which can take a while",
        ),
        ("loading bin 0", None),
        ("call reset()", None),
        ("INFO:root:loading recordio /data/train.rec...", None),
        ("/w/src/symbols/fdpn.py:71: SyntaxWarning: invalid escape sequence", None),
        ("/m/base_module.py:503: UserWarning: Optimizer created manually", None),
        ("  self.init_optimizer(kvstore=kvstore, optimizer=optimizer,", None),
    ],
)
def test_a_line_of_the_script(line: str, said: str | None) -> None:
    shown = Shown()
    quiet = shown.text()
    shown.display.heard(f"{line}\n".encode())
    assert (shown.text() == quiet) == (said is None)
    assert said is None or said in shown.text()
    shown.speed(21)
    assert "warning" not in shown.text()
    assert said is None or said not in shown.text(), "it is of no interest after the first step"


def test_a_warning_stays() -> None:
    shown = Shown()
    for count in (1, 2):
        line = f"WARNING:root:/d/train.rec: records that cannot be decoded: 7; {count} so far\n"
        shown.display.heard(line.encode())
    shown.speed(21)
    assert "warning: /d/train.rec: records that cannot be decoded: 7; 2 so far" in shown.text()
    assert "1 so far" not in shown.text()
    shown.display.heard(b"x" * 5_000_000)
    shown.display.heard(b"WARNING:root:" + b"w" * 5_000_000 + b"\n")
    assert len(shown.display._rest) < 10_000


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
    shown.speed(21)
    shown.now = 20.0
    shown.speed(41)
    assert "00:00:19 left" in shown.text()
    shown.now = 40.0
    shown.speed(61)
    assert " left" not in shown.text(), "the last verification can take minutes"
    assert "step 60 of 60" in shown.text()
    assert "100.0%" in shown.text()
    assert "101.7%" not in shown.text()


def test_the_last_verification_and_the_best() -> None:
    shown = Shown()
    for step, accuracy in ((2000, 0.98), (4000, 0.97)):
        shown.display(Verification(None, "lfw", step, accuracy, 0.01, 9.0, None, None))
    shown.display(CheckpointSaved(None, 2, f"/{'long/' * 20}model-0002.params", 4000))
    rows = [line.split() for line in shown.text().splitlines()]
    assert "set  accuracy  at step    best  at step" in shown.text()
    assert ["lfw", "97.00%", "4,000", "98.00%", "2,000"] in rows
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
