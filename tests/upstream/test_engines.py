"""Switching engines between stages and when resuming, and evaluating with both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.data.synth import synthesise
from tests.support.tool import Ran, Tool, validated

# Each test trains and evaluates several times, in parallel with other tests.
pytestmark = pytest.mark.timeout(900)

SMALL = ("--cpu", "--batch-size", "4", "--checkpoint-every", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "faces"
    synthesise(folder, identities=3, images_per_identity=4)
    return folder


def train(tool: Tool, workspace: Path, data: Path, stage: str, engine: str, *options: str) -> Ran:
    places = ("-w", workspace, "--data-dir", data)
    chosen = ("--stage", stage, "--engine", engine, "--skip-accuracy-gate", *SMALL, *options)
    return tool("train", *places, *chosen, "--", "--target", "lfw")


def newest(workspace: Path) -> dict[str, Any]:
    path = max(workspace.glob("runs/*/run.json"))
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def measured(tool: Tool, workspace: Path, model: Path, engine: str) -> dict[str, Any]:
    ran = tool(
        "eval",
        "-w",
        workspace,
        "--model",
        model,
        "--cpu",
        "--engine",
        engine,
        "--json",
        "--target",
        "lfw",
    )
    assert ran.code == 0, ran.err
    found: dict[str, Any] = validated("eval", ran.out)
    assert found["engine"]["name"] == engine
    return found


@pytest.mark.mxnet
@pytest.mark.torch
@pytest.mark.parametrize(("first", "second"), [("torch", "mxnet"), ("mxnet", "torch")])
def test_a_stage_on_each(tool: Tool, workspace: Path, data: Path, first: str, second: str) -> None:
    assert train(tool, workspace, data, "2", first, "--max-steps", "4").code == 0
    assert newest(workspace)["engine"]["name"] == first
    assert train(tool, workspace, data, "3", second, "--max-steps", "4").code == 0
    run = newest(workspace)
    assert (run["engine"]["name"], run["engine"]["reason"]) == (
        second,
        f"selected by --engine {second}",
    )
    assert run["start"].endswith("model-y1-softmax,2")
    models = workspace / "models" / "MobileFaceNet"
    for name in ("model-y1-softmax", "model-y1-arcface"):
        assert json.loads((models / f"{name}-0002.json").read_text())["engine"] == (
            first if name == "model-y1-softmax" else second
        )
        of_first, of_second = (
            measured(tool, workspace, models / name, engine)["results"]
            for engine in (first, second)
        )
        assert len(of_first) == 2
        for one, other in zip(of_first, of_second):
            assert one["accuracy"] == other["accuracy"]
            assert one["xnorm"] == pytest.approx(other["xnorm"], rel=1e-5)
    shown = tool("runs", "show", "last", "-w", workspace).out
    assert f"\nengine         {second} (" in shown


@pytest.mark.mxnet
@pytest.mark.torch
def test_going_on_with_the_other(tool: Tool, workspace: Path, data: Path) -> None:
    assert train(tool, workspace, data, "2", "torch", "--max-steps", "2").code == 0
    longer = ("--max-steps", "4", "--resume")
    refused = train(tool, workspace, data, "2", "auto", *longer)
    assert refused.code == 1
    assert "engine torch, now mxnet (--engine mxnet allows it)" in refused.err
    asked = train(tool, workspace, data, "2", "mxnet", *longer)
    assert asked.code == 0, asked.err
    assert "resumes on mxnet, as requested" in asked.err
    run = newest(workspace)
    assert (run["engine"]["name"], run["resumed_checkpoint"], run["last_checkpoint"]) == (
        "mxnet",
        1,
        2,
    )


@pytest.mark.torch
def test_all_of_it_on_pytorch(tool: Tool, upstream_address: str, tmp_path: Path) -> None:
    """The demo, and the commands that inspect its results."""
    workspace = tmp_path / "work space"
    ran = tool("demo", "-w", workspace, "--upstream", upstream_address, "--engine", "torch")
    assert ran.code == 0, ran.err
    assert "\nSuccess. Outputs:\n" in ran.out
    common = ("-w", workspace, "--engine", "torch", "--cpu")
    data = workspace / "datasets" / "synthetic"
    found = validated(
        "doctor",
        tool("doctor", *common, "--json", "--batch-size", "8", "--data-dir", data).out,
    )
    assert found["ok"]
    assert found["engine"]["name"] == "torch"
    assert found["estimate"]["gpu_bytes"] > 50 << 20
    dry = tool("train", *common, "--stage", "3", "--dry-run").out
    assert "\nPYTHONPATH=" in dry
    assert "\n# engine: PyTorch (torch " in dry
    several = tool("train", "-w", workspace, "--stage", "3", "--engine", "torch", "--cluster")
    assert several.code == 1
    assert "trains on one device, not on several hosts" in several.err
