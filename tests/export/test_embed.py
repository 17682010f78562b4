"""The commands `embed` and `compare`: what they refuse."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from mfn_patcher.remedies import install
from tests.support.tool import Tool

# One number for an image: three weights, a bias.
PARAM = """7767517
2 2
Input in0 0 1 data
InnerProduct linear_0 1 1 data fc1 0=1 1=1 2=3
"""


@pytest.fixture
def face(tmp_path: Path) -> Path:
    Image.new("RGB", (112, 112)).save(tmp_path / "face.png")
    return tmp_path / "face.png"


def test_other_images(tool: Tool, tmp_path: Path, face: Path) -> None:
    Image.new("RGB", (50, 60)).save(tmp_path / "small.png")
    ran = tool("compare", tmp_path / "m.onnx", face, tmp_path / "small.png")
    assert (ran.code, ran.out) == (1, "")
    assert "small.png is 50x60, not 112x112" in ran.err
    assert "detected and aligned" in ran.err


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "no such file"), (b"no model", "not a valid ONNX file")]
)
def test_other_models(
    tool: Tool, tmp_path: Path, face: Path, content: bytes | None, reason: str
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed here")
    if content:
        (tmp_path / "m.onnx").write_bytes(content)
    ran = tool("embed", tmp_path / "m.onnx", face)
    assert (ran.code, ran.out) == (1, "")
    assert reason in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("ends", "shape", "reason"),
    [
        (("x", "y"), [1], "its input is not data, or its output is not fc1"),
        (("data", "fc1"), [1], "it does not accept such images"),
        (("data", "fc1"), ["N", 3, 112, 112], "its output is 3 x 112 x 112 numbers"),
    ],
)
def test_a_network_of_another_kind(
    *,
    tool: Tool,
    tmp_path: Path,
    face: Path,
    ends: tuple[str, str],
    shape: list[object],
    reason: str,
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed here")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed here")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    source, target = ends
    graph = make.make_graph(
        [make.make_node("Relu", [source], [target])],
        "other",
        [make.make_tensor_value_info(source, kind, shape)],
        [make.make_tensor_value_info(target, kind, shape)],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=7)
    onnx.save(model, str(tmp_path / "m.onnx"))
    for command in (("embed", tmp_path / "m.onnx", face), ("bench", "model", tmp_path / "m.onnx")):
        ran = tool(*command)
        assert (ran.code, ran.out) == (1, "")
        assert reason in ran.err
        assert len(ran.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("package", "model", "extra"),
    [("onnxruntime", "m.onnx", "onnx"), ("ncnn", "m.param", "ncnn")],
)
def test_no_runtime(
    *,
    tool: Tool,
    tmp_path: Path,
    face: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    model: str,
    extra: str,
) -> None:
    for name in (model, "m.bin"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, package, None)
    ran = tool("embed", tmp_path / model, face)
    assert ran.code == 1
    assert f"`{install(extra)}`" in ran.err


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "m.param: no such file"),
        ({"m.param": PARAM}, "m.param: m.bin, which holds its weights, is not beside it"),
        (
            {"m.param": "no model", "m.bin": ""},
            "ncnn cannot load it with m.bin: parse magic failed",
        ),
        ({"m.param": PARAM, "m.bin": "short"}, "ncnn cannot load it with m.bin: ModelBin"),
        ({"m.param": PARAM.replace("fc1", "out"), "m.bin": 20 * "\0"}, "its output is not fc1"),
    ],
)
def test_other_models_of_ncnn(
    tool: Tool, tmp_path: Path, face: Path, files: dict[str, str], reason: str
) -> None:
    pytest.importorskip("ncnn", reason="ncnn is not installed here")
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    ran = tool("embed", tmp_path / "m.param", face)
    assert (ran.code, ran.out) == (1, "")
    assert reason in ran.err
    # All that ncnn says is in the message.
    assert ran.err.startswith("mfn-patch: ")


def test_files_that_are_no_models(tool: Tool, tmp_path: Path, face: Path) -> None:
    ran = tool("embed", tmp_path / "m.bin", face)
    assert (ran.code, ran.out) == (1, "")
    assert "m.bin: its name does not end in .onnx or .param" in ran.err


@pytest.mark.parametrize(
    "name", ["my models/y1-0080.params", "my models/y1,80", "my models/y1,080"]
)
@pytest.mark.parametrize(
    "command",
    [("compare", "{}", "a.png", "b.png"), ("embed", "{}", "a.png"), ("bench", "model", "{}")],
)
def test_a_checkpoint_in_place_of_a_model(tool: Tool, command: tuple[str, ...], name: str) -> None:
    ran = tool(*(word.format(name) for word in command))
    assert (ran.code, ran.out, ran.err) == (
        1,
        "",
        f"mfn-patch: cannot run {name}: it is a checkpoint\n"
        "Export it first: `mfn-patch export 'my models/y1,80' --format onnx`.\n",
    )


@pytest.mark.parametrize("command", [("compare", "face.png"), ("embed",)])
def test_images_before_the_model(tool: Tool, face: Path, command: tuple[str, ...]) -> None:
    model = face.with_name("m.onnx")
    model.write_bytes(b"model")
    ran = tool(command[0], face, *command[1:], model)
    assert (ran.code, ran.out, ran.err) == (
        1,
        "",
        f"mfn-patch: cannot run {face}: it is an image\n"
        "Name the exported model first, then the images.\n",
    )
