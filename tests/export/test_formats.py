"""The table of formats, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.children.exported import ModelFileError
from mfn_patcher.export import formats
from mfn_patcher.export.formats.base import Format
from tests.support.repositories import ROOT
from tests.support.tool import Tool

PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
SCHEMA = (ROOT / "docs" / "schema" / "export.json").read_text(encoding="utf-8")
FORMATS = pytest.mark.parametrize("form", formats.FORMATS, ids=lambda form: form.name)


@FORMATS
def test_every_format_is_documented(form: Format) -> None:
    files = ", ".join(f"`{name}`" for name in form.files("NAME", 0, half=False))
    row = f"| `{form.name}` | {files.replace('0000', 'NNNN')} | {form.summary} |"
    assert row in PAGE
    assert f"| `export --format {form.name}` |" in PAGE
    assert f'"{form.name}"' in SCHEMA


@FORMATS
def test_every_format_is_in_the_help(tool: Tool, form: Format) -> None:
    said = tool("export", "--help").out
    assert f"for {form.summary}" in said
    assert f"|{form.name}" in said or f"[{form.name}" in said


def test_files_of_different_precision_have_different_names() -> None:
    for form in formats.FORMATS:
        if form.half_limits is not None:
            names = [set(form.files("m", 7, half=half)) for half in (False, True)]
            assert not names[0] & names[1], form.name


def test_a_missing_format(tool: Tool, tmp_path: Path) -> None:
    ran = tool("export", tmp_path / "m,1")
    assert (ran.code, ran.out) == (2, "")
    for form in formats.FORMATS:
        assert f"  {form.name}  for {form.summary}\n" in ran.err


def test_the_name_of_a_format_in_capitals(tool: Tool, tmp_path: Path) -> None:
    ran = tool("export", tmp_path / "m,1", "--format", "ONNX")
    assert (ran.code, f"no checkpoints of {tmp_path / 'm'}" in ran.err) == (1, True)


def test_half_precision_that_a_format_lacks(tool: Tool, tmp_path: Path) -> None:
    for form in formats.FORMATS:
        if form.half_limits is None:
            ran = tool("export", tmp_path / "m,1", "--format", form.name, "--fp16")
            assert (ran.code, ran.out) == (2, "")
            assert f"format {form.name} has no half precision" in ran.err


def test_a_file_of_no_format(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        formats.load(tmp_path / "m.txt")
    for form in formats.runnable():
        assert form.suffix in caught.value.reason
