"""The patches on the real pin."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mfn_patcher.patching.project import read_upstream
from mfn_patcher.patching.series import load_series
from mfn_patcher.recipes.model import SCRIPT_CHECKPOINT_EVERY
from tests.support.repositories import ROOT, git
from tests.support.tool import Tool

PIN = "4bc813215a4603474c840c85fa2113f5354c7180"


def test_one_commit_a_patch_and_the_same_everywhere(
    tool: Tool, upstream_address: str, patched: Path, tmp_path: Path
) -> None:
    ran = tool("apply", "-w", tmp_path / "w", "--upstream", upstream_address, "--json")
    assert ran.code == 0, ran.err
    outcome = json.loads(ran.out)
    assert outcome["pin"] == PIN
    names = [patch.name for patch in load_series(ROOT).patches]
    assert [patch["patch"] for patch in outcome["patches"]] == names
    assert all(patch["offsets"] == [] for patch in outcome["patches"])
    assert git(patched, "rev-parse", "HEAD").decode().strip() == outcome["commit"]
    assert git(patched, "rev-list", "--count", f"{PIN}..HEAD").decode().strip() == str(len(names))


def test_the_diff_applies_to_a_fresh_pin(tool: Tool, workspace: Path) -> None:
    diff = tool("diff", "-w", workspace).out
    assert tool("revert", "-w", workspace).code == 0
    git(workspace, "apply", "--check", "-", stdin=diff.encode())
    git(workspace, "apply", "--index", "-", stdin=diff.encode())
    assert git(workspace, "diff", "refs/heads/mfn-patch@{1}") == b""


def test_the_patches_are_what_git_am_makes_of_them(workspace: Path) -> None:
    """The format is git's own: any git can apply the series without this tool."""
    patches = [str(patch.path) for patch in load_series(ROOT).patches]
    tree = git(workspace, "rev-parse", "HEAD^{tree}")
    git(workspace, "checkout", "--quiet", PIN)
    git(workspace, "am", "--quiet", "--keep-cr", *patches)
    assert git(workspace, "rev-parse", "HEAD^{tree}") == tree


def test_every_patch_is_what_an_export_gives(tool: Tool, patched: Path) -> None:
    for patch in load_series(ROOT).patches:
        assert tool("diff", "-w", patched, patch.name).out.encode() == patch.diff, patch.name


def test_little_is_fetched(patched: Path) -> None:
    objects = patched / ".git" / "objects"
    size = sum(path.stat().st_size for path in objects.rglob("*") if path.is_file())
    assert size < 1_000_000


@pytest.mark.parametrize("stack", ["recipe", "python3"])
def test_each_stack_applies_alone(
    tool: Tool, upstream_address: str, tmp_path: Path, stack: str
) -> None:
    ran = tool("apply", "-w", tmp_path / "w", "--upstream", upstream_address, "--stack", stack)
    assert ran.code == 0, ran.err


def test_the_default_address_is_upstreams() -> None:
    assert read_upstream(ROOT).address == "https://github.com/deepinsight/insightface.git"


def test_how_often_the_script_saves_by_itself(patched: Path) -> None:
    """The plans leave the argument out where a recipe has this number."""
    text = (patched / "src" / "train_softmax.py").read_text(encoding="utf-8")
    (default,) = re.findall(r"'--verbose', type=int, default=(\d+)", text)
    assert int(default) == SCRIPT_CHECKPOINT_EVERY
