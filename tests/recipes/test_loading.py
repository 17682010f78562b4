from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from mfn_patcher.errors import ExitCode
from mfn_patcher.recipes import loading, parsing
from mfn_patcher.recipes.model import Expectations, Recipe, RecipeError, Stage
from tests.support.recipes import TEXT
from tests.support.repositories import ROOT
from tests.support.tool import Tool, validated


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A recipe of the user's without any optional key."""
    path = tmp_path / "mine.toml"
    path.write_text("""
name = "mine"
summary = "one stage"
script = "train_softmax.py"
batch_size = 64
checkpoint_every = 100
cuda_visible_devices = "0"

[[stages]]
number = 7
name = "quick-softmax"
steps = 500
arguments = ["--network", "y1", "--loss-type", "0", "--lr-steps", "400",
  "--per-batch-size", "64", "--data-dir", "/d", "--prefix", "/m/model"]
""")
    return path


@pytest.mark.long
@pytest.mark.usefixtures("engines_are_imported_once")
def test_a_file_of_ones_own(mine: Path, tool: Tool) -> None:
    found = loading.load(str(mine))
    assert (found.name, found.source, found.expect) == ("mine", None, None)
    assert [stage.title for stage in found.choose("quick-softmax")] == ["stage 7 (quick-softmax)"]
    for stage in ("7", "quick-softmax", "all"):
        ran = tool("train", "--recipe", mine, "--stage", stage, "--dry-run")
        assert " --max-steps 500 --verbose " in ran.out
        assert "\n# added: --max-steps 500 — the recipe's number" in ran.out
    ran = tool("train", "--recipe", mine, "--stage", "2", "--dry-run")
    assert ran.code == ExitCode.ERROR
    assert ran.err.endswith("Its stages are 7 (quick-softmax).\n")
    ran = tool("verify", "--recipe", mine)
    assert ran.code == ExitCode.ERROR
    assert "[expect]" in ran.err


def test_a_file_that_is_none(mine: Path, tool: Tool, tmp_path: Path) -> None:
    mine.write_text(mine.read_text().replace("checkpoint_every", "checkpoint_evry"))
    ran = tool("recipes", "show", mine)
    assert (ran.code, ran.out) == (ExitCode.ERROR, "")
    assert ran.err.startswith(f"mfn-patch: {mine}: unknown key 'checkpoint_evry'\n")
    mine.write_bytes(b"name = '\xff'")
    for which, reason in (
        (mine, "is not UTF-8 text, from byte 8 on"),
        (tmp_path, "that path is a directory"),
        ("other.toml", "there is no such file"),
        ("", "that path is a directory"),
    ):
        ran = tool("train", "--recipe", which, "--stage", "2", "--dry-run")
        assert ran.code == ExitCode.ERROR
        assert reason in ran.err
        assert f"The built-in recipes are {', '.join(loading.names())};" in ran.err
    ran = tool("train", "--recipe", "mobilefacenet.toml", "--stage", "2", "--dry-run")
    assert ran.err.endswith("\nDid you mean 'mobilefacenet'?\n")


def test_a_copy_needs_another_name(tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_text(TEXT)
    with pytest.raises(RecipeError, match="name of a built-in recipe") as caught:
        loading.load(str(path))
    assert "another `name`" in caught.value.remedy


@pytest.mark.parametrize("name", loading.names())
def test_show(tool: Tool, tmp_path: Path, name: str) -> None:
    shown = validated("recipe", tool("recipes", "show", name, "--json").out)
    assert shown["name"] == name
    text = tool("recipes", "show", name).out
    path = tmp_path / "own.toml"
    path.write_text(text.replace(f'name = "{name}"', 'name = "own"', 1))
    own = validated("recipe", tool("recipes", "show", path, "--json").out)
    assert own == {**shown, "name": "own"}


def test_list(tool: Tool) -> None:
    listed = validated("recipes", tool("recipes", "list", "--json").out)
    assert [entry["name"] for entry in listed["recipes"]] == loading.names()
    assert listed["default"] == loading.names()[0] == "mobilefacenet"
    text = tool("recipes", "list").out
    assert "issue-214: two stages" in text
    assert "  stage 1 (softmax): 140,002 steps of 512 images\n" in text
    figures = {"lfw": 99.50, "cfp_fp": 88.94, "agedb_30": 95.91}
    (issue,) = (entry for entry in listed["recipes"] if entry["name"] == "issue-214")
    (published,) = issue["published"]
    assert published == {
        "source": "upstream issue 214, two stages",
        "accuracies": figures,
        "at_least": [],
    }
    assert "published: lfw 99.50 %, cfp_fp 88.94 %, agedb_30 95.91 % (upstream issue 214" in text
    assert "published: lfw 99.55 %, agedb_30 at least 95.90 % (the recipe's target" in text


def test_the_document_describes_every_key_and_its_example_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "recipes.md").read_text()
    keys = {field.name for kind in (Recipe, Stage, Expectations) for field in fields(kind)}
    described = set(re.findall(r"^\| `\[*(\w+)\]*` \|", text, re.MULTILINE))
    assert keys <= described
    example = re.search(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert example
    assert parsing.parse(example[1], "the example").name == "short"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_files_that_other_systems_have_written(tool: Tool, tmp_path: Path, encoding: str) -> None:
    """``recipes show mobilefacenet > mine.toml`` writes such files in PowerShell."""
    mine = tmp_path / "mine.toml"
    text = TEXT.replace('name = "mobilefacenet"', 'name = "mine"', 1).replace("\n", "\r\n")
    mine.write_bytes(text.encode(encoding))
    assert loading.load(str(mine)).stages == loading.load().stages
    assert tool("recipes", "show", mine).code == 0
