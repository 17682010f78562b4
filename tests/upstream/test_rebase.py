"""The series carried to a later commit of the real upstream, where some patches conflict."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support.repositories import ROOT, git
from tests.support.tool import Tool

ONTO = "6fe15f12"  # November 2018
CONFLICT = re.compile(rb"<<<<<<< [^\n]*\n(.*?)=======\n(.*?)>>>>>>> [^\n]*\n", re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    shutil.copytree(ROOT / "patches", root / "patches")
    shutil.copy(ROOT / "pinned_commit.txt", root)
    shutil.copy(ROOT / "upstream.toml", root)
    return root


def resolve_conflicts(workspace: Path) -> None:
    """Take upstream's side, in Python 3, but fc7 without its bias, as a maintainer would."""
    for path in git(workspace, "diff", "--name-only", "--diff-filter=U").decode().split():
        file = workspace / path
        side = rb"\2" if path == "src/train_softmax.py" else rb"\1"
        data = CONFLICT.sub(side, file.read_bytes())
        file.write_bytes(data.replace(b"xrange(", b"range("))


def test_to_a_conflict_and_on(
    tool: Tool, whole_upstream: str, project: Path, tmp_path: Path
) -> None:
    where = ("-w", tmp_path / "insightface", "--project", project, "--upstream", whole_upstream)
    assert tool("apply", *where).code == 0
    ran = tool("rebase", *where, "--onto", ONTO)
    assert ran.code == 1
    assert "recipe/0001-fc7-without-bias.patch" in ran.err
    stops = 0
    while ran.code == 1 and stops < len(list(project.rglob("*.patch"))):
        stops += 1
        resolve_conflicts(tmp_path / "insightface")
        ran = tool("rebase", *where, "--continue")
    assert ran.code == 0, ran.err
    assert (project / "pinned_commit.txt").read_text().startswith(ONTO)
    checked = tool("check", *where[2:])
    assert checked.code == 0, checked.out
    assert "0 of" in checked.out.splitlines()[-1]
    assert "Nothing to do" in tool("apply", *where).out


def test_and_back(tool: Tool, whole_upstream: str, project: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "insightface"
    where = ("-w", workspace, "--project", project, "--upstream", whole_upstream)
    tool("apply", *where)
    before = everything(workspace), everything(project)
    assert tool("rebase", *where, "--onto", ONTO).code == 1
    assert everything(workspace) != before[0]
    assert tool("rebase", *where, "--abort").code == 0
    assert (everything(workspace), everything(project)) == before


def everything(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }
