"""Exports of really trained checkpoints, run by the formats' own runtimes."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mfn_patcher.export import formats
from mfn_patcher.export.images import proof_images
from mfn_patcher.export.runtime import load
from mfn_patcher.patching.workspace import Workspace
from tests.support.engines import engine_environment
from tests.support.tool import Tool, validated
from tests.support.trained import INTERVAL, MODELS, NAME, SHARING

pytestmark = [pytest.mark.mxnet, SHARING]

SPOIL = Path(__file__).parent / "programs" / "spoil.py"
KINDS = ("lacking", "unstable", "oversized", "loud", "unusual", "half", "double")


@pytest.fixture
def prefix(trained: Path) -> Path:
    return trained / "models" / "MobileFaceNet" / "model-y1-softmax"


@pytest.fixture(scope="module")
def _spoiled_once(_trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spoiled")
    prefix = _trained_once / "models" / "MobileFaceNet" / "model-y1-softmax"
    for kind in KINDS:
        (folder / kind).mkdir()
        shutil.copy(f"{prefix}-symbol.json", folder / kind / "model-symbol.json")
    copies = (f"{kind}={folder / kind / 'model-0001.params'}" for kind in KINDS)
    command = [sys.executable, str(SPOIL), f"{prefix}-0001.params", *copies]
    subprocess.run(command, env=engine_environment("mxnet"), check=True)
    return folder


@pytest.fixture
def spoiled(trained: Path, request: pytest.FixtureRequest) -> Path:
    """A folder per kind with a spoiled copy of checkpoint 1; tests must not change it."""
    assert trained
    path: Path = request.getfixturevalue("_spoiled_once")
    return path


def card_beside(model: Path) -> dict[str, Any]:
    text = Path(f"{model}.json").read_text(encoding="utf-8")
    return dict(validated("export", text))


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
    ends = ("params", "params.json", "params.md")
    assert sorted(made) == [*(f"{base}-0001.{end}" for end in ends), f"{base}-symbol.json"]
    assert json.loads(made[f"{base}-0001.params.json"]) == card_of(report)
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


def test_no_other_files_are_left(exported: Path) -> None:
    expected = set()
    for form in formats.runnable():
        for half in (False, True) if form.half_limits is not None else (False,):
            names = form.files("model-y1-softmax", 1, half=half)
            expected |= {*names, f"{names[0]}.json", f"{names[0]}.md"}
    assert {path.name for path in exported.iterdir()} == expected


@pytest.mark.parametrize("form", MODELS)
def test_files_and_cards(trained: Path, exported: Path, form: str) -> None:
    model = exported / MODELS[form]
    card = card_beside(model)
    names = list(formats.by_name(form).files("model-y1-softmax", 1, half=False))
    assert [file["name"] for file in card["files"]] == names
    for file in card["files"]:
        content = (exported / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (
            len(content),
            hashlib.sha256(content).hexdigest(),
        )
    assert card["chain_commit"] == Workspace(trained).chain_commit()
    assert set(card["accuracies"]) == {"lfw", "agedb_30"}
    assert card["proof"]["images"] == (40 if form == "onnx" else 64)
    assert [step["value"] for step in card["input"]["scaling"]] == [127.5, 0.0078125]
    assert card["batch_norms_folded"] == 50
    assert card["subnormal_weights"]["milliseconds"] is None


@pytest.mark.parametrize("form", MODELS)
def test_half_precision(exported: Path, form: str) -> None:
    cards = [
        card_beside(exported / MODELS[form].replace(NAME, name)) for name in (NAME, f"{NAME}-fp16")
    ]
    single, half = (sum(file["bytes"] for file in card["files"]) for card in cards)
    assert half < 0.52 * single
    assert cards[1]["proof"]["cosine"] >= 0.9999
    assert cards[1]["proof"]["difference"] > cards[0]["proof"]["difference"]


def test_the_graph_of_onnx(exported: Path) -> None:
    onnx, onnxruntime = (pytest.importorskip(name) for name in ("onnx", "onnxruntime"))
    model = exported / MODELS["onnx"]
    graph = onnx.load(str(model)).graph
    assert {node.op_type for node in graph.node} == {
        *("Sub", "Mul", "Conv", "PRelu", "Add", "Flatten", "Gemm")
    }
    assert [value.name for value in graph.input] == ["data"]
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    pixels = proof_images(None).pixels[:3].astype(np.float32)
    (three,) = session.run(None, {"data": pixels})
    (one,) = session.run(None, {"data": pixels[:1]})
    assert three.shape == (3, 128)
    assert np.allclose(one, three[:1], rtol=1e-4)


def test_both_formats_have_the_same_layers(exported: Path) -> None:
    onnx = pytest.importorskip("onnx")
    names = {node.output[0] for node in onnx.load(str(exported / MODELS["onnx"])).graph.node}
    found = load(exported / MODELS["ncnn"]).layers(proof_images(None).pixels[:1])
    # ncnn has copies of what is used twice.
    assert {name for name in found if not name.isdecimal()} == {"data", *names}
    assert found["conv_1_batchnorm"].shape == (1, 64, 56, 56)


@pytest.mark.parametrize("form", MODELS)
def test_embed_and_compare(tool: Tool, exported: Path, tmp_path: Path, form: str) -> None:
    pixels = proof_images(None).pixels[:2]
    faces = [tmp_path / "a.png", tmp_path / "b.png"]
    for face, image in zip(faces, pixels):
        Image.fromarray(image.transpose(1, 2, 0)).save(face)
    reference = load(exported / MODELS["onnx"]).embed(pixels)
    unit = reference / np.linalg.norm(reference, axis=1, keepdims=True)
    model = exported / MODELS[form]
    embedded = validated("embed", tool("embed", model, *faces, "--json").out)["embeddings"]
    assert np.allclose([entry["embedding"] for entry in embedded], unit, atol=1e-6)
    compared = validated("compare", tool("compare", model, *faces, "--json").out)
    assert compared["cosine"] == pytest.approx(float(unit[0] @ unit[1]), abs=1e-6)
    ran = tool("compare", model, faces[0], faces[0])
    assert ran.out == "1.000000\n"
    command = f"mfn-patch eval --model {shlex.quote(str(model))}"
    assert f"the cosine threshold that `{command}` prints" in ran.err


def test_bench(tool: Tool, exported: Path) -> None:
    models = [exported / name for name in MODELS.values()]
    timed = validated("bench-model", tool("bench", "model", *models, "--runs", "2", "--json").out)
    assert [(Path(r["model"]), r["threads"], r["runs"]) for r in timed["results"]] == [
        (model, threads, 2) for threads in (1, 2) for model in models
    ]
    assert [r["runtime"] for r in timed["results"]] == 2 * [load(model).name for model in models]
    assert "For orientation" in tool("bench", "model", models[0], "--runs", "1").out


@pytest.mark.parametrize("form", MODELS)
def test_eval_gives_the_accuracy_of_the_training(
    tool: Tool, trained: Path, exported: Path, form: str
) -> None:
    model = exported / MODELS[form]
    ran = tool(
        *("eval", "-w", trained, "--model", model, "--json", "--target", "lfw,agedb_30"),
        *("--data-dir", trained.parent / "data"),
    )
    assert ran.code == 0, ran.err
    report = validated("eval", ran.out)
    assert (report["exported"], report["prefix"], report["best"]) == (str(model), None, None)
    (log,) = trained.glob("runs/*/output.log")
    printed = log.read_text()
    for result in report["results"]:
        start = f"[{result['set']}][{INTERVAL}]"
        assert f"{start}Accuracy-Flip: {result['accuracy']:1.5f}+-{result['std']:1.5f}" in printed
        norm = float(printed.partition(f"{start}XNorm: ")[2].split()[0])
        assert result["xnorm"] == pytest.approx(norm, rel=1e-5)
    assert [result["set"] for result in report["results"]] == ["lfw", "agedb_30"]


@pytest.mark.parametrize(
    ("form", "kind", "layer"),
    [
        (("ncnn",), "unstable", "fc1"),
        (("onnx", "--fp16"), "oversized", "res_3_block1_conv_proj_batchnorm"),
    ],
)
def test_what_computes_something_else_is_refused(
    *,
    tool: Tool,
    trained: Path,
    spoiled: Path,
    exported: Path,
    tmp_path: Path,
    form: tuple[str, ...],
    kind: str,
    layer: str,
) -> None:
    assert exported  # so all that it takes is installed
    model = spoiled / kind / "model"
    command = ("export", f"{model},1", "-w", trained, "-o", tmp_path / "out", "--format")
    ran = tool(*command, *form)
    assert (ran.code, ran.out) == (4, "")
    assert re.search(rf"worst is image \d+ of 64, where layer {layer} is the first ", ran.err)
    if layer == "fc1":
        # Which is the embedding: on the image that differs most, as far as that of any image.
        of_all, of_layer = re.findall(r"smallest cosine (-?[\d.]+)", ran.err)
        assert of_all == of_layer
    assert list((tmp_path / "out").iterdir()) == []


def test_half_precision_that_overflows_is_refused(
    tool: Tool, trained: Path, spoiled: Path, exported: Path, tmp_path: Path
) -> None:
    assert exported  # so all that it takes is installed
    command = ("export", f"{spoiled / 'loud' / 'model'},1", "-w", trained, "-o", tmp_path / "out")
    ran = tool(*command, "--format", "onnx", "--fp16")
    assert (ran.code, ran.out) == (4, "")
    assert "numbers of layer conv_1_batchnorm exceed 65504" in ran.err
    assert list((tmp_path / "out").iterdir()) == []


def test_subnormal_weights_are_flushed_and_fixed_gammas_ignored(
    *,
    tool: Tool,
    trained: Path,
    spoiled: Path,
    tmp_path: Path,
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed here")
    model = shutil.copytree(spoiled / "unusual", tmp_path / "unusual") / "model"
    ran = tool("export", f"{model},1", "-w", trained, "--format", "onnx", "--json")
    assert ran.code == 0, ran.err
    report = validated("export", ran.out)
    weights = report["subnormal_weights"]
    assert weights["checkpoint"] == 16 * 128
    assert weights["flushed"] > 0
    assert set(weights["milliseconds"]) == {"before", "after"}
    assert report["run"] is None
    written = model.parent / "exported" / "model-0001.onnx"
    for item in onnx.load(str(written)).graph.initializer:
        numbers = np.abs(onnx.numpy_helper.to_array(item))
        assert not ((numbers > 0) & (numbers < np.finfo(np.float32).tiny)).any()
    assert " ms per image before, " in Path(f"{written}.md").read_text(encoding="utf-8")


def test_spoiled_checkpoints(
    tool: Tool,
    trained: Path,
    spoiled: Path,
    tmp_path: Path,
) -> None:
    model = spoiled / "lacking" / "model"
    ran = tool("export", f"{model},1", "-w", trained, "--format", "slim", "-o", tmp_path / "out")
    assert (ran.code, ran.out) == (1, "")
    assert "model-0001.params: it has no fc1_weight" in ran.err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", ["half", "double"])
def test_parameters_of_another_precision(
    *,
    tool: Tool,
    trained: Path,
    spoiled: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed here")
    command = ("export", f"{spoiled / kind / 'model'},1", "-w", trained, "-o", tmp_path / "out")
    ran = tool(*command, "--format", "onnx", "--json")
    assert ran.code == 0, ran.err
    assert validated("export", ran.out)["proof"]["cosine"] > 0.999999


def edit(nodes: list[dict[str, Any]], kind: str) -> None:
    """Edit a network as a user might."""
    convolution = next(node for node in nodes if node["op"] == "Convolution")
    if kind == "no such operator":
        convolution["op"] = "NoSuchOperator"
    elif kind == "operator that ONNX lacks":
        relu = next(node for node in nodes if node["op"] == "Activation")
        relu.update(op="gamma", attrs={})
    elif kind == "other shape":
        convolution["attrs"]["num_filter"] = "32"
    elif kind == "other input":
        nodes[0]["name"] = "pixels"
    elif kind == "other kind of numbers":
        nodes[1].update(op="Cast", attrs={"dtype": "float16"})


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("no such operator", "slim"),
        ("operator that ONNX lacks", "onnx"),
        ("other shape", "slim"),
        ("other input", "slim"),
        ("other kind of numbers", "slim"),
    ],
)
def test_edited_networks(
    *, tool: Tool, trained: Path, prefix: Path, tmp_path: Path, kind: str, form: str
) -> None:
    symbol = json.loads(Path(f"{prefix}-symbol.json").read_text())
    edit(symbol["nodes"], kind)
    (tmp_path / "model-symbol.json").write_text(json.dumps(symbol))
    shutil.copy(f"{prefix}-0001.params", tmp_path / "model-0001.params")
    ran = tool("export", f"{tmp_path / 'model'},1", "-w", trained, "--format", form)
    assert (ran.code, ran.out) == (1, "")
    assert re.search(r"cannot export \S+model-0001.params: ", ran.err)
    assert "could not query" not in ran.err
    assert "Traceback" not in ran.err


def test_a_network_with_dropout(
    tool: Tool, trained: Path, prefix: Path, exported: Path, tmp_path: Path
) -> None:
    """As mobilenet v1 has it before its embedding, and converters drop it."""
    assert exported  # so all that it takes is installed
    symbol = json.loads(Path(f"{prefix}-symbol.json").read_text())
    symbol["nodes"][1].update(op="Dropout", attrs={"p": "0.4"})
    (tmp_path / "model-symbol.json").write_text(json.dumps(symbol))
    shutil.copy(f"{prefix}-0001.params", tmp_path / "model-0001.params")
    command = ("export", f"{tmp_path / 'model'},1", "-w", trained, "-o", tmp_path / "out")
    ran = tool(*command, "--format", "ncnn")
    assert ran.code == 0, ran.err
    lines = (tmp_path / "out" / "model-0001.param").read_text().splitlines()
    assert lines[-1].split()[5] == "fc1"
    assert lines[3].split()[4:6] == ["data", symbol["nodes"][2]["name"]], "its layers are named"
