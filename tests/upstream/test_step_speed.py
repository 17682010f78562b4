"""Timing the real script's step on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.data.synth import synthesise
from mfn_patcher.errors import ExitCode
from tests.support.engines import ENGINES
from tests.support.tool import Tool, validated

SMALL = ("--cpu", "--batch-size", "2", "--seconds", "0.1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "faces"
    synthesise(folder, identities=3, images_per_identity=4, sets=())
    return folder


@pytest.mark.parametrize("engine", ENGINES)
def test_with_a_data_set(patched: Path, data: Path, tool: Tool, engine: str) -> None:
    bench = ("bench", "step", "-w", patched, "--data-dir", data, "--engine", engine, *SMALL)
    ran = tool(*bench, "--stage", "softmax", "--json")
    assert ran.code == ExitCode.DONE, ran.err
    found = validated("bench-step", ran.out)
    assert (found["stage"], found["batch_size"], found["identities"]) == ("softmax", 2, 3)
    assert found["engine"]["name"] == engine
    rates = found["images_per_second"]
    assert all(rates.values())
    # The data set fits in memory, so its disk does not bound training.
    assert found["bound"] == min("compute", "feed", key=lambda part: rates[part])
    hours = found["recipe_images"]["trained"] / rates["training"] / 3600
    hours += found["recipe_images"]["verified"] / rates["verification"] / 3600
    assert found["estimated_hours"] == pytest.approx(hours)
    # PyTorch or MXNet alone take that much.
    assert found["peak_bytes"] > 100 << 20
    assert list(patched.rglob("*.params")) == []


@pytest.mark.torch
def test_on_random_images(patched: Path, tool: Tool) -> None:
    # Only the PyTorch engine has this precision, so --engine auto takes it.
    ran = tool("bench", "step", "-w", patched, "--precision", "bf16", *SMALL)
    assert ran.code == ExitCode.DONE, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == (
        "recipe mobilefacenet, stage 3 (arcface): 2 images per step, 85,164 identities, bf16, "
        "on the CPU"
    )
    assert lines[1].startswith("engine: PyTorch")
    names = [line.rsplit(maxsplit=1)[0] for line in lines[3:5]]
    assert names == ["training step", "verification (forward pass)"]
    assert "--data-dir DIR also measures the feed" in ran.out
    assert "This is estimated from the rates above: 128.0 million images" in ran.out


@pytest.mark.mxnet
def test_a_batch_that_the_data_set_cannot_fill(patched: Path, data: Path, tool: Tool) -> None:
    bench = ("bench", "step", "-w", patched, "--cpu", "--seconds", "0.1", "--data-dir", data)
    ran = tool(*bench, "--batch-size", "13")
    assert ran.code == ExitCode.ERROR
    assert "there are 12 images, too few for a batch of 13" in ran.err


@pytest.mark.torch
def test_a_script_that_fails(workspace: Path, tool: Tool) -> None:
    script = workspace / "src" / "train_softmax.py"
    script.write_text(
        script.read_text().replace("def train_net(args", "def train_net(missing, args")
    )
    ran = tool("bench", "step", "-w", workspace, "--engine", "torch", *SMALL)
    assert ran.code == ExitCode.ERROR
    assert "the script failed: TypeError: train_net() missing 1 required" in ran.err
