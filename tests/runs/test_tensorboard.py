"""Event files of TensorBoard, read back with its own reader."""

from __future__ import annotations

import builtins
import io
import logging
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mfn_patcher.errors import ExitCode
from mfn_patcher.runs.events import LearningRate, Speed, Verification
from mfn_patcher.runs.log import read_events
from mfn_patcher.runs.tensorboard import TensorBoardFile
from tests.support.runs import SAMPLE, SAMPLE_WITH_LOSS, SHORT_EPOCHS
from tests.support.tool import Tool


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values of each curve that TensorBoard would draw."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    names = found.Tags()["scalars"]
    return {name: [(point.step, point.value) for point in found.Scalars(name)] for name in names}


def test_a_whole_run(tmp_path: Path) -> None:
    with TensorBoardFile(tmp_path) as board:
        for event in read_events(io.BytesIO(SAMPLE_WITH_LOSS)):
            board(event)
    curves = read(tmp_path)
    speeds = SAMPLE.read_text().count("Speed:")
    assert {name: len(curve) for name, curve in curves.items()} == {
        "train/loss": speeds,
        "train/accuracy": speeds,
        "train/images_per_second": speeds,
        "train/learning_rate": speeds,
        "verification/lfw": 4,
        "verification/cfp_fp": 4,
        "verification/agedb_30": 4,
    }
    assert curves["train/loss"][1] == pytest.approx((41, 8.98))
    assert curves["train/accuracy"][0] == pytest.approx((21, 0.047619))
    assert curves["train/learning_rate"][0][1] == pytest.approx(0.05)
    assert curves["train/learning_rate"][-1][1] == pytest.approx(0.0005)
    assert [step for step, _ in curves["verification/lfw"]] == [500, 1000, 1500, 2000]
    assert curves["verification/lfw"][-1][1] == pytest.approx(0.6)


def test_loss_and_accuracy_of_short_epochs(tmp_path: Path) -> None:
    with TensorBoardFile(tmp_path) as board, SHORT_EPOCHS.open("rb") as lines:
        for event in read_events(lines):
            board(event)
    curves = read(tmp_path)
    assert curves["train/loss"] == [pytest.approx((3, 1.336271)), pytest.approx((6, 2.76353))]
    assert curves["train/accuracy"] == [(3, 0.5), (6, 0.5)]


def test_it_can_be_read_while_the_run_goes(tmp_path: Path) -> None:
    with TensorBoardFile(tmp_path) as board:
        board(LearningRate(None, 0, 0.1))
        board(Speed(None, 0, 20, 21, 500.0, 0.25, math.nan))
        curves = read(tmp_path)
        assert curves["train/learning_rate"][0] == pytest.approx((21, 0.1))
        assert math.isnan(curves["train/loss"][0][1])
        board(Speed(None, 1, 20, None, 500.0, 0.25, 1.0))  # at an unknown step
        board(Verification(None, "lfw", 40, 0.5, 0.1, None, None, None))
        assert read(tmp_path)["verification/lfw"] == [(40, 0.5)]
        assert len(read(tmp_path)["train/loss"]) == 1


def test_a_folder_that_is_gone_does_not_end_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), TensorBoardFile(tmp_path / "none") as board:
        board(Speed(None, 0, 20, 21, 500.0, 0.25, 1.0))
        board(Speed(None, 0, 40, 41, 500.0, 0.25, 1.0))
    assert caplog.text.count("no longer writing an event file") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_does_not_end_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Any, *arguments: Any, **options: Any) -> Any:
        here = "tfevents" in str(path)
        return original("/dev/full" if here else path, *arguments, **options)

    original = builtins.open
    monkeypatch.setattr(builtins, "open", full)
    with caplog.at_level(logging.WARNING), TensorBoardFile(tmp_path) as board:
        board(Speed(None, 0, 20, 21, 500.0, 0.25, 1.0))
    assert caplog.text.count("no longer writing an event file") == 1


def test_without_tensorboardx(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mfn_patcher.runs.tensorboard")
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    ran = tool("train", "--stage", "2", "--tensorboard", "-w", tmp_path)
    assert ran.code == ExitCode.ERROR
    assert "require tensorboardX" in ran.err
    assert "[tensorboard]" in ran.err
