"""Annotations and the job summary of a GitHub workflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import toy_series
from tests.support.repositories import StandIn, commit, edit, git
from tests.support.tool import Check
from tests.support.toy_series import SHAPES, TABLE

RANGES = f"patches/{toy_series.RANGES}"
ITEMS = f"patches/{toy_series.ITEMS}"


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where GitHub wants the job summary."""
    path = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def test_a_conflict(check: Check, later: Path, stand_in: StandIn, summary: Path) -> None:
    edit(later, SHAPES, b"    pw = (kw-1)/2\n", b"    pw = kw/2 # 50%\n")
    commit(later, "A later revision")
    ran = check("--against", "later", "--format", "github")
    assert ran.code == 3
    (line,) = ran.out.splitlines()
    assert line.startswith(f"::error file={RANGES},line=")
    number = int(line.partition("line=")[2].partition(",")[0])
    quoted = (stand_in.project / RANGES).read_text().splitlines()[number - 1 :]
    assert quoted[0].startswith("@@ ")
    assert "-    pw = (kw-1)/2" in quoted[1:9]
    assert "%0Afound:        pw = kw/2 # 50%25" in line
    name = RANGES.partition("/")[2]
    row = f"| conflict | `{name}` | {SHAPES}: hunk 1: conflict near line"
    assert row in summary.read_text()


def test_a_summary_that_cannot_be_written(
    check: Check, later: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner's folder need not exist in a container; the verdict is what counts."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "nowhere" / "summary.md"))
    git(later, "rm", "--quiet", SHAPES)
    commit(later, "A later revision")
    ran = check("--against", "later", "--format", "github")
    assert (ran.code, "warning: cannot write the job summary" in ran.err) == (3, True), ran.err


def test_what_is_allowed_is_a_notice(check: Check, later: Path) -> None:
    edit(later, TABLE, b"# filler 1\n", b"# filler 1\n\n")
    commit(later, "A later revision")
    levels = {"offset": "notice", "exact": "error"}
    for allowed, level in levels.items():
        ran = check("--against", "later", "--format", "github", "--allow", allowed)
        lines = ran.out.splitlines()
        assert lines
        assert all(line.startswith(f"::{level} file=patches/") for line in lines)


def test_a_file_that_is_gone_is_told_once(check: Check, later: Path) -> None:
    git(later, "rm", "--quiet", SHAPES)
    commit(later, "A later revision")
    ran = check("--against", "later", "--format", "github")
    (line,) = (line for line in ran.out.splitlines() if SHAPES in line)
    assert f"{SHAPES}: hunks 1 to 3: the file was removed" in line


def test_lint(
    check: Check, stand_in: StandIn, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stand_in.project / ITEMS
    file.write_bytes(file.read_bytes().replace(b"Why: ", b"Because: "))
    monkeypatch.chdir(stand_in.project.parent)
    ran = check("--format", "github")
    assert (ran.code, ran.err) == (1, "")
    message = "the header must contain a paragraph 'Why: ...'"
    assert ran.out == f"::error file=project/{ITEMS},line=1,title=lint::{message}\n"
    assert f"| `project/{ITEMS}:1` | {message} |" in summary.read_text()


def test_subjects_of_upstream_stay_in_their_place(check: Check, later: Path, summary: Path) -> None:
    edit(later, TABLE, b".iteritems()", b".viewitems()")
    commit(later, "a | b <img> 100% ##[error]no\n\n::error::no")
    ran = check("--history", "pin..later", "--format", "github")
    starts = ("::error file=", "1 commit from", "fixes/", "port/")
    assert all(line.startswith(starts) for line in ran.out.splitlines())
    assert "): a | b <img> 100%25 ##[error]no" in ran.out, "within an annotation"
    assert "): a | b <img> 100% ##\\[error]no\n" in ran.out
    assert r"): a \| b \<img\> 100%" in summary.read_text()
