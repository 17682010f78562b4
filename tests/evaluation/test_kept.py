"""What eval keeps with the runs that saved the checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.runs import rates, record
from tests.support.evaluation import FIGURES, child, result
from tests.support.runs import RECORD, make_run
from tests.support.tool import Tool


@pytest.fixture
def folder(workspace: Path) -> Path:
    """The run that saved the checkpoints of the workspace."""
    entry = dataclasses.replace(
        RECORD,
        prefix=str(workspace / "models" / "m"),
        started="2026-01-01T00:00:00+00:00",
        ended=record.utc_now(),
    )
    return make_run(workspace, "20260101T000000-stage2-softmax", entry)


@pytest.fixture
def arguments(ready: Any, workspace: Path, tmp_path: Path) -> list[Any]:
    python = child(tmp_path, result(1, "lfw", 0.99), result(2, "lfw", 0.98))
    model = ("--model", workspace / "models" / "m", "--data-dir", ready.data_dir)
    return ["eval", "-w", workspace, *model, "--target", "lfw", "--python", python, "--cpu"]


def test_the_rates_of_each_checkpoint(
    tool: Tool, arguments: list[Any], folder: Path, ready: Any
) -> None:
    ran = tool(*arguments)
    assert ran.code == 0, ran.err
    kept = rates.read(folder)
    assert [(rate.checkpoint, rate.set, rate.accuracy) for rate in kept] == [
        (1, "lfw", 0.99),
        (2, "lfw", 0.98),
    ]
    assert (kept[0].tar, kept[0].std, kept[0].far, kept[0].different) == (
        FIGURES.tar,
        FIGURES.tar_std,
        FIGURES.far,
        FIGURES.different,
    )
    assert (kept[0].target, kept[0].data_dir) == (0.001, str(ready.data_dir))


def test_checkpoints_of_another_run_or_of_none(
    tool: Tool, arguments: list[Any], folder: Path, workspace: Path
) -> None:
    entry = dataclasses.replace(RECORD, prefix=str(workspace / "models" / "other"))
    record.write(entry, folder)
    assert tool(*arguments).code == 0
    assert not (folder / rates.FILE).exists()


def test_a_folder_that_cannot_be_written(tool: Tool, arguments: list[Any], folder: Path) -> None:
    (folder / rates.FILE).mkdir()
    ran = tool(*arguments)
    assert ran.code == 0
    assert "98.00 ± 1.00" in ran.out
    assert ran.err.count(f"cannot add to {folder / rates.FILE}") == 1
