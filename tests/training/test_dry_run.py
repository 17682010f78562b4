"""``mfn-patch train --dry-run`` finds what a start would stop at, and everything after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mfn_patcher.checkpoints.lock import hold
from mfn_patcher.errors import ExitCode
from tests.support.repositories import StandIn
from tests.support.shipped import apply_shipped
from tests.support.tool import Tool

pytestmark = pytest.mark.usefixtures("engines_are_imported_once")

# The tests run no training: every case below has at least one problem.
COMMON = ("--cpu", "--batch-size", "4")
Break = Callable[[Path, Path], tuple[str, ...]]


@pytest.fixture
def workspace(tool: Tool, shipped: StandIn, tmp_path: Path) -> Path:
    return apply_shipped(tool, shipped, tmp_path / "w")


def no_data(_workspace: Path, data: Path) -> tuple[str, ...]:
    shutil.rmtree(data)
    return ("--stage", "2")


def truncated_data(_workspace: Path, data: Path) -> tuple[str, ...]:
    (data / "train.rec").write_bytes((data / "train.rec").read_bytes()[:9000])
    return ("--stage", "2")


def no_script(workspace: Path, _data: Path) -> tuple[str, ...]:
    (workspace / "src" / "train_softmax.py").unlink()
    return ("--stage", "2")


def no_start(_workspace: Path, _data: Path) -> tuple[str, ...]:
    return ("--stage", "3")


def no_pretrained(_workspace: Path, _data: Path) -> tuple[str, ...]:
    return ("--stage", "2", "--pretrained", "models/mine,7")


def no_gpu(_workspace: Path, _data: Path) -> tuple[str, ...]:
    return ("--stage", "2", "--gpus", "0,1")


def no_interpreter(_workspace: Path, _data: Path) -> tuple[str, ...]:
    return ("--stage", "2", "--python", "/bin/false")


def a_file_for_the_models(workspace: Path, _data: Path) -> tuple[str, ...]:
    (workspace / "models").write_text("")
    return ("--stage", "2")


BROKEN = (
    no_data,
    truncated_data,
    no_script,
    no_start,
    no_pretrained,
    no_gpu,
    no_interpreter,
    a_file_for_the_models,
)


@pytest.mark.long
@pytest.mark.parametrize("break_it", BROKEN)
def test_a_dry_run_ends_as_the_start_would(
    tool: Tool, workspace: Path, data: Path, tmp_path: Path, break_it: Break
) -> None:
    broken = shutil.copytree(data, tmp_path / "data")
    options = [*break_it(workspace, broken), "--batch-size", "4", "--data-dir", str(broken)]
    options += [] if "--gpus" in options else ["--cpu"]
    planned = tool("train", "-w", workspace, *options, "--dry-run")
    started = tool("train", "-w", workspace, *options)
    assert started.code == planned.code == ExitCode.ERROR, planned.err
    assert started.out == ""
    assert started.err
    assert planned.err.startswith(started.err)
    assert " train_softmax.py --network y1 " in planned.out
    assert not (workspace / "runs").exists()


def test_every_problem_is_listed(tool: Tool, tmp_path: Path) -> None:
    ran = tool("train", "-w", tmp_path / "w", "--stage", "3", *COMMON, "--dry-run")
    assert ran.code == ExitCode.ERROR
    problems = [line for line in ran.err.splitlines() if line.startswith("mfn-patch: ")]
    assert "train_softmax.py does not exist" in problems[0]
    assert "stage 3 (arcface) starts from checkpoint 20" in problems[1]
    assert "stage 3 (arcface) cannot train on" in problems[2]
    assert len(problems) == 3
    assert "train_softmax.py --network y1" in ran.out


@pytest.mark.long
def test_what_can_start_has_no_problem(tool: Tool, workspace: Path, data: Path) -> None:
    options = ("-w", workspace, *COMMON, "--data-dir", data, "--dry-run")
    # The later stages start from what the earlier ones will have saved.
    ran = tool("train", *options, "--stage", "all")
    assert (ran.code, ran.err) == (0, "")
    assert "moved aside" not in ran.out
    models = workspace / "models" / "MobileFaceNet"
    models.mkdir(parents=True)
    (models / "model-y1-softmax-0003.params").touch()
    ran = tool("train", *options, "--stage", "all")
    assert (ran.code, ran.err) == (0, "")
    note = f"# note: 1 existing checkpoint of {models}/model-y1-softmax will first be moved aside; "
    assert ran.out.count(note) == 1


def test_a_run_that_is_still_going(tool: Tool, workspace: Path, data: Path) -> None:
    prefix = workspace.resolve() / "models" / "MobileFaceNet" / "model-y1-softmax"
    with hold(prefix):
        options = ("-w", workspace, *COMMON, "--data-dir", data, "--stage", "2")
        planned = tool("train", *options, "--dry-run")
        started = tool("train", *options)
    assert planned.code == started.code == ExitCode.ERROR
    assert f"a run that saves to {prefix} is still running" in planned.err
    assert planned.err == started.err
