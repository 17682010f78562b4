"""Evaluation by the real protocol on real MXNet, against what the script prints in training."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.data.verification_set import read_verification_set, write_verification_set
from mfn_patcher.runs import rates
from tests.support.odd_images import undecodable_images
from tests.support.tool import Tool, validated
from tests.support.trained import BATCH, INTERVAL, SHARING
from tests.support.upstream import PROGRAMS, ask

pytestmark = [pytest.mark.mxnet, SHARING]

SETS = ("lfw", "agedb_30")


@pytest.fixture
def models(trained: Path, tmp_path: Path) -> Path:
    """A copy of its checkpoints."""
    return Path(shutil.copytree(trained / "models" / "MobileFaceNet", tmp_path / "models"))


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    stats = {path: path.lstat() for path in folder.rglob("*") if ".git" not in path.parts}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def lines(report: Any) -> set[str]:
    """Return what the script would have printed for the figures."""
    found = set()
    for result in report["results"]:
        start = f"[{result['set']}][{result['checkpoint'] * INTERVAL}]"
        found.add(f"{start}XNorm: {result['xnorm']:f}")
        found.add(f"{start}Accuracy-Flip: {result['accuracy']:1.5f}+-{result['std']:1.5f}")
    return found


def printed(trained: Path) -> set[str]:
    (log,) = trained.glob("runs/*/output.log")
    return set(re.findall(r"^\[\w+\]\[\d+\](?:XNorm|Accuracy-Flip): .*$", log.read_text(), re.M))


def test_the_figures_are_those_of_the_training(tool: Tool, trained: Path) -> None:
    before = files(trained)
    model = trained / "models" / "MobileFaceNet" / "model-y1-softmax"
    ran = tool("eval", "-w", trained, "--model", model, "--cpu", "--json")
    assert ran.code == 0, ran.err
    report = validated("eval", ran.out)
    assert (report["batch_size"], report["devices"]) == (BATCH, "")
    assert [(result["checkpoint"], result["set"]) for result in report["results"]] == [
        (number, name) for number in (1, 2) for name in SETS
    ]
    assert lines(report) == printed(trained)
    assert len(printed(trained)) == 2 * 2 * len(SETS)
    means = {
        number: sum(r["accuracy"] for r in report["results"] if r["checkpoint"] == number)
        for number in (1, 2)
    }
    assert means[report["best"]] == max(means.values())
    # The run that saved the checkpoints keeps the rates for its report; nothing else is changed.
    (kept,) = trained.glob("runs/*/rates.jsonl")
    after = {path: stat for path, stat in files(trained).items() if path != kept}
    assert after.keys() == before.keys() - {kept}
    assert {path for path in after if after[path] != before[path]} <= {kept.parent}
    measured = [(rate.checkpoint, rate.set, rate.tar) for rate in rates.read(kept.parent)]
    assert sorted(measured) == sorted(
        (result["checkpoint"], result["set"], result["tar"]) for result in report["results"]
    )


def test_another_batch_size_changes_the_last_digits_alone(tool: Tool, trained: Path) -> None:
    model = f"{trained}/models/MobileFaceNet/model-y1-softmax,2"
    options = ("--cpu", "--target", "lfw", "--json", "--batch-size", "4096")
    ran = tool("eval", "-w", trained, "--model", model, *options)
    assert ran.code == 0, ran.err
    (result,) = validated("eval", ran.out)["results"]
    (printed_norm,) = (
        float(line.split()[-1]) for line in printed(trained) if line.startswith("[lfw][4]XNorm")
    )
    assert result["xnorm"] == pytest.approx(printed_norm, rel=1e-6)


def test_planted_embeddings(patched: Path, training_environment: dict[str, str]) -> None:
    figures = ask("planted.py", patched / "src", training_environment)
    roc = figures.pop("roc")
    assert figures == pytest.approx(
        {
            "pairs": 200,
            "different": 100,
            "accuracy": 0.95,
            "std": 0,
            "accuracy_without_flip": 0.5,
            "std_without_flip": 0,
            "threshold": 0.25,  # the first of the grid above the squared distance at 0.5 rad
            "threshold_without_flip": 0,  # all distances are equal, and nothing is accepted
            "tar": 0.9,
            "tar_std": 0,
            "far": 0,
            "xnorm": 3,
        },
        abs=1e-6,
    )
    rates = set(zip((round(x, 6) for x in roc["fpr"]), (round(x, 6) for x in roc["tpr"])))
    assert rates == {(0, 0), (0, 0.9), (1, 0.9), (1, 1)}


def test_spoiled_checkpoints(
    tool: Tool, trained: Path, models: Path, training_environment: dict[str, str]
) -> None:
    def checkpoint(number: int) -> Path:
        return models / f"model-y1-softmax-{number:04d}.params"

    whole = checkpoint(1).read_bytes()
    checkpoint(2).write_bytes(whole[:-1000])
    checkpoint(3).write_bytes(whole[:100000].ljust(len(whole), b"\0"))
    checkpoint(4).write_bytes(b"")
    kinds = {5: "lacking", 6: "of_another_shape", 7: "diverged"}
    subprocess.run(
        [
            sys.executable,
            str(PROGRAMS / "spoil.py"),
            str(checkpoint(1)),
            *(f"{kind}={checkpoint(number)}" for number, kind in kinds.items()),
        ],
        env=training_environment,
        check=True,
    )
    data = trained.parent / "data"
    options = ("--cpu", "--data-dir", data, "--target", "lfw", "--batch-size", BATCH)
    command = ("eval", "-w", trained, "--model")
    ran = tool(*command, models / "model-y1-softmax", *map(str, options), "--json")
    assert ran.code == 1
    report = validated("eval", ran.out)
    assert [result["checkpoint"] for result in report["results"]] == [1]
    assert report["best"] == 1
    reasons = {failure["checkpoint"]: failure["reason"] for failure in report["failed"]}
    assert [reason.split(":")[0] for number, reason in sorted(reasons.items())] == [
        "it is truncated or not a checkpoint",
        "it is truncated or not a checkpoint",
        "it is truncated or not a checkpoint",
        "it has no fc1_weight, which the network needs",
        "its fc1_weight has shape (128, 511), the network's has (128, 512)",
        "its embeddings contain NaN or Inf",
    ]
    assert "6 of 7 checkpoints failed:\n  model-y1-softmax-0002.params: it is truncated" in ran.err

    ran = tool(*command, checkpoint(2), *map(str, options))
    assert (ran.code, ran.out) == (1, "")
    assert f"mfn-patch: {checkpoint(2)}: it is truncated" in ran.err

    checkpoint(2).unlink()
    checkpoint(2).mkdir()
    ran = tool(*command, checkpoint(2), *map(str, options))
    assert f"mfn-patch: {checkpoint(2)}: it cannot be read: Is a directory\n" in ran.err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "model-y1-softmax-symbol.json: "),
        (
            '{"nodes": [{"op": "null", "name": "data", "inputs": []}], "arg_nodes": [0], '
            '"node_row_ptr": [0, 1], "heads": [[0, 0, 0]]}',
            "it has no output fc1, which is the embedding",
        ),
    ],
)
def test_spoiled_networks(
    tool: Tool, trained: Path, models: Path, content: str, reason: str
) -> None:
    (models / "model-y1-softmax-symbol.json").write_text(content)
    data = str(trained.parent / "data")
    model = models / "model-y1-softmax"
    ran = tool("eval", "-w", trained, "--model", model, "--cpu", "--data-dir", data)
    assert (ran.code, ran.out) == (1, "")
    assert reason in ran.err
    assert "Traceback" not in ran.err


def test_an_image_that_cannot_be_decoded(tool: Tool, trained: Path, tmp_path: Path) -> None:
    pairs = read_verification_set(trained.parent / "data" / "lfw.bin")
    images = [*pairs.images]
    images[1] = undecodable_images()["webp"]  # none of those that are looked at before
    write_verification_set(tmp_path / "lfw.bin", images, pairs.same)
    model = f"{trained}/models/MobileFaceNet/model-y1-softmax,1"
    options = ("--cpu", "--data-dir", tmp_path, "--target", "lfw")
    ran = tool("eval", "-w", trained, "--model", model, *options)
    assert (ran.code, ran.out) == (1, "")
    assert "image 1 of " in ran.err
    assert "lfw.bin cannot be used: it cannot be decoded; replace it" in ran.err
    assert "Traceback" not in ran.err


def test_without_a_workspace(tool: Tool, trained: Path, tmp_path: Path) -> None:
    model = f"{trained}/models/MobileFaceNet/model-y1-softmax,1"
    options = ("--cpu", "--data-dir", trained.parent / "data", "--target", "lfw", "--json")
    ran = tool("eval", "-w", tmp_path / "none", "--model", model, "--batch-size", BATCH, *options)
    assert ran.code == 0, ran.err
    report = validated("eval", ran.out)
    assert report["commit"] is None
    assert lines(report) <= printed(trained)
