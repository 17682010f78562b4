"""The command `eval`, with a small program in place of the training interpreter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher import progress
from mfn_patcher.evaluation.plan import Plan
from tests.support.evaluation import child, result, say
from tests.support.tool import Tool, validated


@pytest.fixture
def arguments(ready: Plan, workspace: Path, tmp_path: Path) -> list[Any]:
    python = child(
        tmp_path,
        say(batch=1),
        result(1, "lfw", 0.99),
        result(2, "lfw", 0.98),
        result(1, "agedb_30", 0.9),
        result(2, "agedb_30", 0.95),
    )
    model = ("--model", workspace / "models" / "m", "--data-dir", ready.data_dir)
    return ["eval", "-w", workspace, *model, "--python", python, "--cpu"]


def test_tables(tool: Tool, arguments: list[Any]) -> None:
    ran = tool(*arguments, "--target", "lfw,agedb_30")
    assert ran.code == 0, ran.err
    rows = [re.split(r" {2,}", line.strip()) for line in ran.out.splitlines()]
    rates = ["98.00 ± 0.40", "98.00 ± 1.00", "0.25 (3,000)", "99.00 ± 0.50", "0.300"]
    assert ["m, checkpoint 2 (the best)"] in rows
    assert "for TAR and FAR, the one with a FAR of 0.001 there." in ran.out
    assert ["lfw", "6,000", *rates, "11.0000"] in rows
    assert ["checkpoint 1", "99.00 *", "90.00"] in rows
    assert ["checkpoint 2 (the best)", "98.00", "95.00 *"] in rows
    assert ["the recipe's target, stage 3", "99.55", "≥ 95.90"] in rows
    assert (
        "lfw has 20 pairs here and 6,000 in the published figures: they are not comparable."
        in ran.out
    )
    assert "agedb_30: checkpoint 2: 95.00%" in ran.err


def test_own_sets_have_no_published_figures(
    tool: Tool, arguments: list[Any], ready: Plan, tmp_path: Path
) -> None:
    for name in ("lfw", "cfp_fp", "agedb_30"):
        (ready.data_dir / f"{name}.bin").rename(ready.data_dir / f"own_{name}.bin")
    sets = ("own_agedb_30", "own_cfp_fp", "own_lfw")
    python = child(tmp_path, *(result(number, name, 0.9) for number in (1, 2) for name in sets))
    ran = tool(*arguments, "--python", python)
    assert ran.code == 0, ran.err
    table = ran.out[ran.out.index("Accuracy with flip") :].splitlines()
    assert [line.split()[0] for line in table[1:]] == ["own_agedb_30", "checkpoint", "checkpoint"]

    python = child(tmp_path, *(result(2, name, 0.9) for name in sets))
    ran = tool(*arguments, "--python", python, "--model", f"{arguments[4]},2")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["m,", "set", *sets, "Each", "The"]


def test_one_checkpoint_is_not_called_the_best(
    tool: Tool, arguments: list[Any], tmp_path: Path
) -> None:
    python = child(tmp_path, result(2, "lfw", 0.98))
    more = ("--python", python, "--target", "lfw", "--model", f"{arguments[4]},2")
    ran = tool(*arguments, *more)
    assert ran.code == 0, ran.err
    assert re.search(r"^checkpoint 2 +98\.00$", ran.out, re.MULTILINE)
    assert "best" not in ran.out


def test_json(tool: Tool, arguments: list[Any]) -> None:
    report = validated("eval", tool(*arguments, "--target", "lfw,agedb_30", "--json").out)
    assert [(r["checkpoint"], r["set"], r["accuracy"]) for r in report["results"]] == [
        (1, "lfw", 0.99),
        (1, "agedb_30", 0.9),
        (2, "lfw", 0.98),
        (2, "agedb_30", 0.95),
    ]
    assert report["best"] == 2


def test_an_exported_model_is_computed_on_the_cpu(
    *, tool: Tool, ready: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    model = tmp_path / "m.param"
    model.touch()
    python = child(tmp_path, result(0, "lfw", 0.99))
    command = ("eval", "-w", tmp_path / "none", "--model", model, "--python", python)
    options = ("--data-dir", ready.data_dir, "--target", "lfw", "--json")
    report = validated("eval", tool(*command, *options).out)
    assert (report["devices"], report["exported"]) == ("", str(model))
    ran = tool(*command, *options, "--gpus", "0")
    assert (ran.code, ran.out) == (2, "")
    assert "omit --gpus" in ran.err


def test_the_curves_are_of_the_best(tool: Tool, arguments: list[Any], tmp_path: Path) -> None:
    ran = tool(*arguments, "--target", "lfw,agedb_30", "--plot", tmp_path / "roc.png")
    assert ran.code == 0, ran.err
    assert f"plotted m, checkpoint 2 to {tmp_path / 'roc.png'}" in ran.err
    assert (tmp_path / "roc.png").stat().st_size

    (tmp_path / "roc.png").write_text("mine")
    ran = tool(*arguments, "--target", "lfw,agedb_30", "--plot", tmp_path / "roc.png")
    assert (ran.code, ran.out) == (1, "")
    assert "roc.png already exists" in ran.err
    assert (tmp_path / "roc.png").read_text() == "mine"
    plotted = ("--plot", tmp_path / "roc.png", "--overwrite")
    assert tool(*arguments, "--target", "lfw,agedb_30", *plotted).code == 0
    assert (tmp_path / "roc.png").stat().st_size > 4


def test_batches_are_counted_for_a_progress_bar(tool: Tool, arguments: list[Any]) -> None:
    begun: list[progress.Task] = []
    with progress.watch(lambda: begun.extend(progress.running())):
        ran = tool(*arguments, "--target", "lfw,agedb_30")
    assert ran.code == 0, ran.err
    evaluating = next(task for task in begun if task.description == "evaluating")
    assert (evaluating.done, evaluating.total and evaluating.total > 0) == (1, True)
    assert "mfn-patch: lfw: checkpoint" in ran.err


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--gpus", "0"), 2, "mutually exclusive"),
        (("--target", "megaface"), 1, "has no megaface.bin"),
        (("--model", "none,1"), 1, "no checkpoints of"),
        (("--plot", "roc.gif"), 2, "must end in .png or .svg"),
        (("--plot", "no/roc.png"), 2, "does not exist"),
        (("--batch-size", "0"), 2, "batch-size"),
    ],
)
def test_errors(
    tool: Tool, arguments: list[Any], more: tuple[str, ...], code: int, message: str
) -> None:
    ran = tool(*arguments, *more)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("gpus", "message"), [("0,0", "names a GPU twice"), ("first", "is not a GPU")]
)
def test_devices_that_make_no_sense(
    tool: Tool, arguments: list[Any], gpus: str, message: str
) -> None:
    arguments.remove("--cpu")
    ran = tool(*arguments, "--gpus", gpus)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
