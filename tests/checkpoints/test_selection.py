from __future__ import annotations

import re
from pathlib import Path

import pytest

from mfn_patcher.checkpoints.selection import Runtime, SelectionError, find
from mfn_patcher.trainer.mfn_trainer.layout import symbol_file


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "mo,dels 模型"
    folder.mkdir()
    for name in ("m-0001.params", "m-0002.params", "m-0010.params", "m-12345.params"):
        (folder / name).touch()
    (folder / "m-symbol.json").touch()
    (folder / "other-0003.params").touch()
    return folder


def numbers(text: str, here: Path) -> list[int]:
    model = find(text, here, here / "workspace", {})
    assert model.prefix == here.resolve() / "m"
    assert all(path.is_file() for path in model.checkpoints.values())
    return list(model.checkpoints)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m", [1, 2, 10, 12345]),
        ("m,2", [2]),
        ("m,0010", [10]),
        ("./m,12345", [12345]),
        ("m-0002.params", [2]),
        ("m-12345.params", [12345]),
    ],
)
def test_forms(models: Path, text: str, expected: list[int]) -> None:
    assert numbers(text, models) == expected
    assert numbers(str(models / text), models) == expected


def failure(text: str, here: Path, workspace: Path | None = None) -> tuple[str, str]:
    with pytest.raises(SelectionError) as caught:
        find(text, here, workspace or here / "workspace", {})
    return str(caught.value), caught.value.remedy


def test_a_number_that_is_not_there(models: Path) -> None:
    message, remedy = failure("m,3", models)
    assert message == f"no checkpoint 3 of {models / 'm'}"
    assert remedy == "Found: 1, 2, 10, 12345."


@pytest.mark.parametrize("text", ["no", "no,1", "m-0001", "m,x"])
def test_a_prefix_that_is_not_there(models: Path, text: str) -> None:
    message, remedy = failure(text, models)
    assert message.startswith("no checkpoints of ")
    assert remedy == f"There are some of {models / 'm'}, {models / 'other'}."


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "backbone.pth").touch()
    message, remedy = failure("backbone.pth", tmp_path)
    assert message == f"{tmp_path / 'backbone.pth'} is not a checkpoint of MXNet"
    assert "MODELS/model-y1-arcface-0080.params" in remedy


def test_a_folder_of_checkpoints(models: Path) -> None:
    assert str(models / "other") in failure(str(models), models.parent)[1]


def test_no_folder(tmp_path: Path) -> None:
    assert failure("no/m,1", tmp_path)[1] == f"The folder {tmp_path / 'no'} does not exist."


def test_no_checkpoint_anywhere(tmp_path: Path) -> None:
    assert "PREFIX,EPOCH" in failure("m,1", tmp_path)[1]


def test_those_of_the_workspace_are_named(models: Path, tmp_path: Path) -> None:
    remedy = failure(f"{models.name}/m,2", tmp_path / "elsewhere", tmp_path)[1]
    assert remedy == f"The workspace has some: {models / 'm'}"


def test_without_the_network(models: Path) -> None:
    symbol_file(models / "m").unlink()
    message, _ = failure("m,1", models)
    assert re.search(r"m-symbol\.json, .*, is missing$", message)


@pytest.mark.parametrize("name", ["m-0001.onnx", "m-0001-fp16.param"])
def test_an_exported_network(tmp_path: Path, name: str) -> None:
    runtime = Runtime("a.module", "an-extra")
    runtimes = {".onnx": runtime, ".param": runtime}
    with pytest.raises(SelectionError, match=f"no such file: .*{name}"):
        find(name, tmp_path, tmp_path, runtimes)
    (tmp_path / name).touch()
    model = find(name, tmp_path, tmp_path, runtimes)
    assert model.runtime == runtime
    assert list(model.checkpoints.values()) == [model.prefix] == [tmp_path / name]
