"""SARIF: by its schema, with the results on the patch files' own lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import toy_series
from tests.support.formats import validated_sarif
from tests.support.repositories import StandIn, commit, edit, git
from tests.support.tool import Check
from tests.support.toy_series import SHAPES, TABLE, TRAIN

RANGES = f"patches/{toy_series.RANGES}"
LAST = f"patches/{toy_series.ITEMS}"


def place(result: Any) -> tuple[str, int | None]:
    (location,) = result["locations"]
    physical = location["physicalLocation"]
    return physical["artifactLocation"]["uri"], physical.get("region", {}).get("startLine")


def test_the_pin(check: Check) -> None:
    ran = check("--format", "sarif")
    assert ran.code == 0, ran.err
    assert validated_sarif(ran.out)["results"] == []


def test_a_conflict(check: Check, later: Path, stand_in: StandIn) -> None:
    edit(later, SHAPES, b"    pw = (kw-1)/2\n", b"    pw = kw/2\n")
    revision = commit(later, "A later revision")
    ran = check("--against", "later", "--format", "sarif")
    assert ran.code == 3
    (result,) = validated_sarif(ran.out)["results"]
    assert (result["ruleId"], result["level"]) == ("conflict", "error")
    uri, line = place(result)
    assert uri == RANGES
    assert line
    lines = (stand_in.project / RANGES).read_text().splitlines()
    assert lines[line - 1].startswith("@@ ")
    assert "-    pw = (kw-1)/2" in lines[line : line + 8]
    assert "\nexpected:     pw = (kw-1)/2\nfound:        pw = kw/2" in result["message"]["text"]
    properties = result["properties"]
    assert (properties["revision"], properties["commit"]) == ("later", revision)


def test_fingerprints_stay_when_lines_move(check: Check, later: Path, stand_in: StandIn) -> None:
    edit(later, TABLE, b".iteritems()", b".viewitems()")
    commit(later, "A later revision")
    before = validated_sarif(check("--against", "later", "--format", "sarif").out)["results"]
    edit(later, TABLE, b".viewitems()", b".listitems()")
    edit(later, TABLE, b"# filler 1\n", b"# filler 1\n\n")
    commit(later, "Another")
    items = stand_in.project / LAST
    items.write_bytes(items.read_bytes().replace(b"\nOrigin:", b"\n And more.\nOrigin:"))
    after = validated_sarif(check("--against", "later", "--format", "sarif").out)["results"]
    conflicts = [next(it for it in run if it["ruleId"] == "conflict") for run in (before, after)]
    assert place(conflicts[0]) != place(conflicts[1])
    assert conflicts[0]["partialFingerprints"] == conflicts[1]["partialFingerprints"]


def test_levels(check: Check, later: Path) -> None:
    edit(later, TABLE, b".iteritems()", b".items()")
    edit(later, TRAIN, b"# filler 1\n", b"# filler 1\n\n")
    commit(later, "A later revision")
    levels = {}
    for allowed in ("exact", "offset", "merged"):
        ran = check("--against", "later", "--format", "sarif", "--allow", allowed)
        results = validated_sarif(ran.out)["results"]
        levels[allowed] = {(it["ruleId"], it["level"]) for it in results}
    assert levels == {
        "exact": {("offset", "error"), ("already-applied", "error")},
        "offset": {("offset", "note"), ("already-applied", "error")},
        "merged": {("offset", "note"), ("already-applied", "warning")},
    }


def test_the_history_says_since_when(check: Check, later: Path) -> None:
    git(later, "rm", "--quiet", SHAPES)
    gone = commit(later, "Drop shapes")
    (later / "README.md").write_text("no patched file\n")
    commit(later, "Go on")
    run = validated_sarif(check("--history", "pin..later", "--format", "sarif").out)
    (result,) = run["results"]
    assert (result["ruleId"], result["properties"]["since"]) == ("file-gone", gone)
    assert f"in {gone[:12]} (" in result["message"]["text"]


def test_lint(check: Check, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    file = stand_in.project / LAST
    file.write_bytes(file.read_bytes().replace(b"Why: ", b"Because: "))
    (stand_in.project / "patches" / "a stray").touch()
    monkeypatch.chdir(stand_in.project.parent.parent)
    ran = check("--format", "sarif")
    assert (ran.code, ran.err) == (1, "")
    results = validated_sarif(ran.out)["results"]
    assert {place(result) for result in results} == {
        (f"stand%20in/project/{LAST}", 1),
        ("stand%20in/project/patches/a%20stray", None),
    }
    assert {(it["ruleId"], it["level"]) for it in results} == {("lint", "error")}
