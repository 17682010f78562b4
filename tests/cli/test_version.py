"""``mfn-patch --version``: all that a bug report needs, at once."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path

import pytest

import mfn_patcher
from tests.support.repositories import ROOT, git
from tests.support.tool import Tool


def test_what_a_bug_report_needs(tool: Tool) -> None:
    ran = tool("--version")
    assert ran.code == 0
    first, *lines = ran.out.splitlines()
    assert first == f"mfn-patch {mfn_patcher.__version__}"
    facts = {name: text.strip() for name, _, text in (line.partition(" ") for line in lines)}
    assert list(facts) == ["git", "Python", "packages", "pin", "platform"]
    assert facts["git"] in git(Path.cwd(), "version").decode()
    assert facts["Python"] == f"{platform.python_version()}, {sys.executable}"
    for name in ("numpy", "torch", "mxnet"):
        try:
            assert f"{name} {metadata.version(name)}" in facts["packages"]
        except metadata.PackageNotFoundError:
            assert f"{name} " not in facts["packages"]
    assert facts["pin"].startswith((ROOT / "pinned_commit.txt").read_text().strip())
    assert facts["platform"] == platform.platform()


def test_what_is_broken_is_said_and_the_rest_still_shown(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "series").touch()
    (tmp_path / "pinned_commit.txt").write_text("v1.2\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = tool("--version")
    assert ran.code == 0
    assert "git       unknown: git was not found" in ran.out
    assert "pin       unknown: " in ran.out
    assert "must contain a commit id" in ran.out
    assert "platform " in ran.out


def test_the_version_is_that_of_the_distribution() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in pyproject
    assert metadata.version("mfn-patcher") == mfn_patcher.__version__
