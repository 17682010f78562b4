"""Exports of really trained checkpoints, run by the formats' own runtimes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mfn_patcher.cli import run as run_tool
from mfn_patcher.dataset.synth import synthesise
from mfn_patcher.export.images import proof_images
from mfn_patcher.workspace import Workspace
from tests.conftest import Tool
from tests.test_workspace import validated

pytestmark = pytest.mark.mxnet

SPOIL = Path(__file__).parent / "programs" / "spoil.py"


@pytest.fixture(scope="module")
def _trained_once(_patched_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tra ined")
    workspace = Path(shutil.copytree(_patched_once, folder / "insightface", symlinks=True))
    synthesise(folder / "data", identities=3, images_per_identity=4)
    steps = ("--max-steps", "2", "--verbose-every", "2", "--batch-size", "6")
    where = ("-w", str(workspace), "--data-dir", str(folder / "data"))
    assert run_tool(["train", "--stage", "2", "--cpu", *steps, *where]) == 0
    return workspace


@pytest.fixture
def trained(patched: Path, request: pytest.FixtureRequest) -> Path:
    """A workspace in which stage 2 has saved a checkpoint; tests must not change it."""
    assert patched
    path: Path = request.getfixturevalue("_trained_once")
    return path


@pytest.fixture
def prefix(trained: Path) -> Path:
    return trained / "models" / "MobileFaceNet" / "model-y1-softmax"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def card_of(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "folder"}


def test_slim(tool: Tool, trained: Path, prefix: Path, tmp_path: Path) -> None:
    before = contents(prefix.parent)
    command = ("export", f"{prefix},1", "-w", trained, "--format", "slim", "-o", tmp_path / "out")
    ran = tool(*command, "--json")
    assert ran.code == 0, ran.err
    report = validated("export", ran.out)
    assert contents(prefix.parent) == before
    base = "model-y1-softmax-slim"
    made = contents(tmp_path / "out")
    assert sorted(made) == [f"{base}-0001.{end}" for end in ("json", "md", "params")] + [
        f"{base}-symbol.json"
    ]
    assert json.loads(made[f"{base}-0001.json"]) == card_of(report)
    assert report["proof"]["difference"] == 0
    nodes = json.loads(made[f"{base}-symbol.json"])["nodes"]
    assert nodes[-1]["name"] == "fc1"
    for name in (b"fc7", b"softmax"):
        assert name in before["model-y1-softmax-symbol.json"]
        assert name not in made[f"{base}-symbol.json"]
    assert b"fc7_weight" in before["model-y1-softmax-0001.params"]
    assert b"fc7_weight" not in made[f"{base}-0001.params"]

    ran = tool(*command)
    assert (ran.code, ran.out) == (1, "")
    assert "nothing is overwritten" in ran.err
    assert contents(tmp_path / "out") == made


def test_onnx(tool: Tool, trained: Path, prefix: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed here")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed here")
    before = contents(prefix.parent)
    command = ("export", f"{prefix},1", "-w", trained, "--format", "onnx", "--json", "-o", tmp_path)
    ran = tool(*command, "--images", trained.parent / "data" / "lfw.bin")
    assert ran.code == 0, ran.err
    report = validated("export", ran.out)
    assert contents(prefix.parent) == before
    model = tmp_path / "model-y1-softmax-0001.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        model.name + end for end in ("", ".json", ".md")
    ]
    (file,) = report["files"]
    assert file["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert report["chain_commit"] == Workspace(trained).chain_commit()
    assert set(report["accuracies"]) == {"lfw", "cfp_fp", "agedb_30"}
    assert report["proof"]["images"] == 40
    assert [step["value"] for step in report["input"]["scaling"]] == [127.5, 0.0078125]

    graph = onnx.load(str(model)).graph
    assert report["batch_norms_folded"] == 50
    assert {node.op_type for node in graph.node} == {
        *("Sub", "Mul", "Conv", "PRelu", "Add", "Flatten", "Gemm")
    }
    assert [value.name for value in graph.input] == ["data"]
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    pixels = proof_images(None)[0][:3].astype(np.float32)
    (three,) = session.run(None, {"data": pixels})
    (one,) = session.run(None, {"data": pixels[:1]})
    assert three.shape == (3, 128)
    assert np.allclose(one, three[:1], rtol=1e-4)

    faces = [tmp_path / "a.png", tmp_path / "b.png"]
    for face, image in zip(faces, pixels):
        Image.fromarray(image.transpose(1, 2, 0).astype(np.uint8)).save(face)
    embedded = validated("embed", tool("embed", model, *faces, "--json").out)["embeddings"]
    unit = three[:2] / np.linalg.norm(three[:2], axis=1, keepdims=True)
    assert np.allclose([entry["embedding"] for entry in embedded], unit, atol=1e-6)
    compared = validated("compare", tool("compare", model, *faces, "--json").out)
    assert compared["cosine"] == pytest.approx(float(unit[0] @ unit[1]), abs=1e-6)
    assert tool("compare", model, faces[0], faces[0]).out == "1.000000\n"

    timed = validated("bench-model", tool("bench", "model", model, "--runs", "2", "--json").out)
    assert [(result["threads"], result["runs"]) for result in timed["results"]] == [(1, 2), (2, 2)]
    assert "For orientation" in tool("bench", "model", model, "--runs", "1").out

    ran = tool(*command, "--fp16")
    assert ran.code == 0, ran.err
    half = validated("export", ran.out)
    assert half["files"][0]["bytes"] < 0.52 * file["bytes"]
    assert half["proof"]["cosine"] >= 0.9999
    assert half["proof"]["difference"] > report["proof"]["difference"]


@pytest.mark.parametrize(
    ("kind", "options", "layer"),
    [
        ("unstable", (), "fc1"),
        ("oversized", ("--fp16",), "res_3_block1_conv_proj_batchnorm"),
    ],
)
def test_what_computes_something_else_is_refused(
    *,
    tool: Tool,
    trained: Path,
    prefix: Path,
    tmp_path: Path,
    training_environment: dict[str, str],
    kind: str,
    options: tuple[str, ...],
    layer: str,
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed here")
    spoiled = spoil(prefix, tmp_path, kind, training_environment)
    command = ("export", f"{spoiled},1", "-w", trained, "--format", "onnx", *options)
    ran = tool(*command, "-o", tmp_path / "out")
    assert (ran.code, ran.out) == (4, "")
    assert f"they part at layer {layer} " in ran.err
    assert list((tmp_path / "out").iterdir()) == []


def test_subnormal_weights_are_flushed_and_fixed_gammas_ignored(
    tool: Tool,
    trained: Path,
    prefix: Path,
    tmp_path: Path,
    training_environment: dict[str, str],
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed here")
    spoiled = spoil(prefix, tmp_path, "unusual", training_environment)
    ran = tool("export", f"{spoiled},1", "-w", trained, "--format", "onnx", "--json")
    assert ran.code == 0, ran.err
    report = validated("export", ran.out)
    assert report["subnormal_weights"]["checkpoint"] == 16 * 128
    assert report["subnormal_weights"]["flushed"] > 0
    assert report["run"] is None
    written = onnx.load(str(tmp_path / "exported" / "model-0001.onnx"))
    for item in written.graph.initializer:
        weights = np.abs(onnx.numpy_helper.to_array(item))
        assert not ((weights > 0) & (weights < np.finfo(np.float32).tiny)).any()


def test_spoiled_checkpoints(
    tool: Tool,
    trained: Path,
    prefix: Path,
    tmp_path: Path,
    training_environment: dict[str, str],
) -> None:
    spoiled = spoil(prefix, tmp_path, "lacking", training_environment)
    ran = tool("export", f"{spoiled},1", "-w", trained, "--format", "slim", "-o", tmp_path / "out")
    assert (ran.code, ran.out) == (1, "")
    assert "model-0001.params can't be exported: it lacks fc1_weight" in ran.err
    assert list((tmp_path / "out").iterdir()) == []


def spoil(prefix: Path, folder: Path, kind: str, environment: dict[str, str]) -> Path:
    """Return the prefix of a spoiled copy of checkpoint 1."""
    shutil.copy(f"{prefix}-symbol.json", folder / "model-symbol.json")
    subprocess.run(
        [
            sys.executable,
            str(SPOIL),
            f"{prefix}-0001.params",
            f"{kind}={folder / 'model-0001.params'}",
        ],
        env=environment,
        check=True,
    )
    return folder / "model"
