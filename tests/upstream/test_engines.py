"""Switching engines between stages and when resuming, and evaluating with both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.data.synth import synthesise
from tests.support.tool import Ran, Tool, validated

# They train and evaluate several times, in parallel with other tests.
pytestmark = pytest.mark.timeout(900)

SMALL = ("--cpu", "--batch-size", "4", "--checkpoint-every", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "faces"
    synthesise(folder, identities=3, images_per_identity=4, sets=["lfw"])
    return folder


def train(tool: Tool, workspace: Path, data: Path, stage: str, engine: str, *options: str) -> Ran:
    places = ("-w", workspace, "--data-dir", data)
    chosen = ("--stage", stage, "--engine", engine, "--skip-accuracy-gate", *SMALL, *options)
    # `eval` measures the accuracy of what they save.
    return tool("train", *places, *chosen, "--", "--target", "")


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


def check_accuracies(tool: Tool, workspace: Path, name: str) -> None:
    """Check that both engines measure the same, of checkpoints that one or the other saved."""
    prefix = workspace / "models" / "MobileFaceNet" / name
    of_torch, of_mxnet = (
        measured(tool, workspace, prefix, engine)["results"] for engine in ("torch", "mxnet")
    )
    assert len(of_torch) == len(list(prefix.parent.glob(f"{name}-*.params")))
    for one, other in zip(of_torch, of_mxnet):
        assert one["accuracy"] == other["accuracy"]
        assert one["xnorm"] == pytest.approx(other["xnorm"], rel=1e-5)


@pytest.mark.mxnet
@pytest.mark.torch
def test_the_engine_may_change_at_any_time(tool: Tool, workspace: Path, data: Path) -> None:
    """PyTorch, MXNet on resuming, PyTorch for the next stage, and MXNet for the last."""

    def engine_of(name: str) -> Any:
        path = workspace / "models" / "MobileFaceNet" / f"{name}.json"
        return json.loads(path.read_text())["engine"]

    assert train(tool, workspace, data, "2", "torch", "--max-steps", "2").code == 0
    assert newest(workspace)["engine"]["name"] == "torch"
    longer = ("--max-steps", "4", "--resume")
    refused = train(tool, workspace, data, "2", "auto", *longer)
    assert refused.code == 1
    assert "engine torch, now mxnet (--engine mxnet allows it)" in refused.err
    asked = train(tool, workspace, data, "2", "mxnet", *longer)
    assert asked.code == 0, asked.err
    assert "resumes on mxnet, as requested" in asked.err
    run = newest(workspace)
    assert (run["engine"]["name"], run["engine"]["reason"]) == (
        "mxnet",
        "selected by --engine mxnet",
    )
    assert (run["resumed_checkpoint"], run["last_checkpoint"]) == (1, 2)
    assert [engine_of(f"model-y1-softmax-000{number}") for number in (1, 2)] == ["torch", "mxnet"]
    check_accuracies(tool, workspace, "model-y1-softmax")

    # By default it would start from the checkpoint of so many steps, which PyTorch saved.
    start = ("--pretrained", f"{workspace}/models/MobileFaceNet/model-y1-softmax,2")
    assert train(tool, workspace, data, "3", "torch", "--max-steps", "2", *start).code == 0
    run = newest(workspace)
    assert run["start"].endswith("model-y1-softmax,2")
    assert engine_of("model-y1-arcface-0001") == "torch"
    assert train(tool, workspace, data, "4", "mxnet", "--max-steps", "2").code == 0
    run = newest(workspace)
    assert run["start"].endswith("model-y1-arcface,1")
    assert engine_of("model-y1-arcface-0001") == "mxnet"
    check_accuracies(tool, workspace, "model-y1-arcface")
    shown = tool("runs", "show", "last", "-w", workspace).out
    assert "\nengine         mxnet (" in shown


@pytest.mark.torch
def test_all_of_it_on_pytorch(tool: Tool, upstream_address: str, tmp_path: Path) -> None:
    """The demo, and the commands that inspect its results."""
    workspace = tmp_path / "work space"
    ran = tool("demo", "-w", workspace, "--upstream", upstream_address, "--engine", "torch")
    assert ran.code == 0, ran.err
    # In a pipe, the results are all that is printed; what is done is said on standard error.
    assert ran.out.startswith("\nSuccess. Outputs:\n")
    assert ran.err.count(": completed after") == 3
    assert not re.search("call reset|Warning|infer time", ran.err)
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
