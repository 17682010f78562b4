from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.finding import Level
from mfn_patcher.patching import git
from tests.support.doctor import examine, findings_of
from tests.support.repositories import StandIn
from tests.support.tool import Tool, validated


@pytest.mark.long
@pytest.mark.usefixtures("engines_are_imported_once")
def test_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert git.version() >= git.OLDEST
    monkeypatch.setattr(git, "OLDEST", (99, 0))
    (finding,) = findings_of(examine(tmp_path / "none"), "git")
    assert (finding.level, finding.remedy) == (Level.ERROR, "Install git 99.0 or later.")


def test_without_git(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = tool("doctor", "--json", "-w", tmp_path / "none", "--python", "none")
    assert ran.code == 4
    (finding,) = (f for f in validated("doctor", ran.out)["findings"] if f["check"] == "git")
    assert (finding["level"], finding["remedy"]) == ("failed", "Install git and try again.")


def test_without_git_in_a_workspace(
    tool: Tool, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ("-w", tmp_path / "w", "--project", stand_in.project)
    assert tool("apply", *places, "--upstream", stand_in.upstream).code == 0
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = tool("doctor", "--json", *places, "--python", "none")
    assert ran.code == 4, ran.err
    levels = {f["check"]: f["level"] for f in validated("doctor", ran.out)["findings"]}
    assert (levels["git"], levels["workspace"]) == ("failed", "failed")
