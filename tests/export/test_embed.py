"""The commands `embed` and `compare`: what they refuse."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Tool


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
    ("content", "reason"), [(None, "there is no file"), (b"no model", "is no ONNX file")]
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


def test_a_network_with_other_ends(tool: Tool, tmp_path: Path, face: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed here")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed here")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = make.make_graph(
        [make.make_node("Relu", ["x"], ["y"])],
        "other",
        [make.make_tensor_value_info("x", kind, [1])],
        [make.make_tensor_value_info("y", kind, [1])],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=7)
    onnx.save(model, str(tmp_path / "m.onnx"))
    ran = tool("embed", tmp_path / "m.onnx", face)
    assert ran.code == 1
    assert "is not from `mfn-patch export`" in ran.err


def test_no_runtime(
    tool: Tool, tmp_path: Path, face: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    ran = tool("embed", tmp_path / "m.onnx", face)
    assert ran.code == 1
    assert "pip install 'mfn-patcher[onnx]'" in ran.err
