"""The converter to ncnn, and the names that it loses."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mfn_patcher.export import pnnx
from mfn_patcher.export.pnnx import ConversionError
from tests.support.repositories import ROOT

NODES = [("a", ["data"]), ("b", ["a"]), ("sum", ["a", "b"]), ("fc1", ["sum"])]
NUMBERED = """7767517
6 7
Input in0 0 1 in0
Convolution conv_0 1 1 in0 1 0=8
Split splitncnn_0 1 2 1 2 3
PReLU prelu_0 1 1 3 4 0=8
BinaryOp add_0 2 1 4 2 5 0=0
InnerProduct linear_0 1 1 5 out0 0=1
"""


def blobs(text: str) -> list[list[str]]:
    """Return the names of each layer's inputs and outputs."""
    found = []
    for line in text.splitlines()[2:]:
        _, _, ins, outs, *rest = line.split()
        found.append(rest[: int(ins) + int(outs)])
    return found


def test_blobs_get_the_names_of_layers() -> None:
    named = pnnx.name_blobs(NUMBERED, NODES)
    assert blobs(named) == [
        ["data"],
        ["data", "a"],
        ["a", "2", "3"],
        ["3", "b"],
        ["b", "2", "sum"],
        ["sum", "fc1"],
    ]
    rests = [line.split()[-1] for line in named.splitlines()]
    assert rests[3:] == ["0=8", "3", "0=8", "0=0", "0=1"]
    assert named.splitlines()[:2] == NUMBERED.splitlines()[:2]


def test_layers_with_equal_inputs_are_told_apart_by_their_order() -> None:
    text = NUMBERED.replace("BinaryOp add_0 2 1 4 2 5 0=0", "PReLU prelu_1 1 1 2 5 0=8")
    nodes = [("a", ["data"]), ("b", ["a"]), ("c", ["a"]), ("fc1", ["c"])]
    assert blobs(pnnx.name_blobs(text, nodes))[3:] == [["3", "b"], ["2", "c"], ["c", "fc1"]]


def test_layers_that_onnx_does_not_have_keep_their_numbers() -> None:
    merged = [("a", ["data"]), ("other", ["a"]), ("sum", ["a", "other"]), ("last", ["x", "sum"])]
    assert blobs(pnnx.name_blobs(NUMBERED.replace("PReLU", "Other"), merged))[-2:] == [
        ["other", "2", "sum"],
        ["sum", "fc1"],
    ]
    assert blobs(pnnx.name_blobs(NUMBERED, [("a", ["data"])]))[3:] == [
        ["3", "4"],
        ["4", "2", "5"],
        ["5", "fc1"],
    ]


def test_the_output_has_its_name_whatever_the_converter_has_taken_out() -> None:
    more = [*NODES[:-1], ("dropout", ["sum"]), ("fc1", ["dropout"])]
    assert blobs(pnnx.name_blobs(NUMBERED, more))[-1] == ["sum", "fc1"]


def test_no_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConversionError, match=r"pnnx, .*, is not installed") as caught:
        pnnx.find()
    assert f"pip install --no-deps {pnnx.REQUIREMENT}" in caught.value.remedy


@pytest.mark.parametrize("absolute", [True, False])
def test_the_converter_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, absolute: bool
) -> None:
    if importlib.util.find_spec("pnnx") is None:
        pytest.skip("pnnx is not installed here")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path if absolute else Path()
    (folder / "m.onnx").write_text("no model")
    with pytest.raises(ConversionError, match="exit status 255") as caught:
        pnnx.convert(folder / "m.onnx", folder / "m.param", NODES, half=False)
    assert "read_proto_from_binary failed" in str(caught.value)
    assert "open failed" not in str(caught.value), "it finds the file"
    assert not (tmp_path / "m.param").exists()


@pytest.mark.parametrize("path", ["Makefile", "docs/export.md"])
def test_the_same_converter_is_named_everywhere(path: str) -> None:
    assert f"--no-deps {pnnx.REQUIREMENT}" in (ROOT / path).read_text(encoding="utf-8")
