"""JUnit's XML: by the schema of Jenkins, with every patch a test."""

from __future__ import annotations

from pathlib import Path

from tests.support.formats import validated_junit
from tests.support.repositories import StandIn, commit, edit, git
from tests.support.tool import Check
from tests.support.toy_series import NO_BIAS, PATCHES, RANGES, SHAPES, TABLE


def test_the_pin(check: Check) -> None:
    ran = check("--format", "junit")
    assert ran.code == 0, ran.err
    suites = validated_junit(ran.out)
    (suite,) = suites
    assert suite.attrib["name"].startswith("pin, ")
    assert (suite.attrib["tests"], suite.attrib["failures"]) == (str(len(PATCHES)), "0")
    assert suites.attrib["tests"] == suite.attrib["tests"]
    assert suite[0].attrib["name"] == NO_BIAS


def test_a_conflict(check: Check, later: Path) -> None:
    edit(later, SHAPES, b"    pw = (kw-1)/2\n", b"    pw = kw/2 \x0c<&]]>\n")
    commit(later, "A later revision")
    ran = check("--against", "later", "--against", "master", "--format", "junit")
    assert ran.code == 3
    suites = validated_junit(ran.out)
    assert [suite.attrib["failures"] for suite in suites] == ["1", "0"]
    (test,) = (test for test in suites[0] if len(test))
    assert test.attrib["classname"] == "later"
    assert test.attrib["name"] == RANGES
    (failure,) = test
    assert failure.attrib["type"] == "conflict"
    assert failure.attrib["message"].startswith(f"{SHAPES}: hunk 1: conflict near line")
    assert failure.text is not None
    assert failure.text.startswith(f"patches/{RANGES}:")
    assert "  expected:     pw = (kw-1)/2\n" in failure.text
    assert "  found:        pw = kw/2 \\x0c<&]]>" in failure.text


def test_what_is_allowed_is_no_failure(check: Check, later: Path) -> None:
    edit(later, TABLE, b"# filler 1\n", b"# filler 1\n\n")
    commit(later, "A later revision")
    ran = check("--against", "later", "--format", "junit")
    assert ran.code == 0
    suites = validated_junit(ran.out)
    assert (suites.attrib["failures"], suites.attrib["errors"]) == ("0", "0")
    told = [out.text for out in suites.iter("system-out")]
    assert len(told) == 2
    assert told[0] is not None
    assert "offset +1" in told[0]


def test_the_history_says_since_when(check: Check, later: Path) -> None:
    edit(later, TABLE, b".iteritems()", b".viewitems()")
    broken = commit(later, "View the items")
    git(later, "rm", "--quiet", SHAPES)
    gone = commit(later, "Drop shapes")
    ran = check("--against", "later", "--history", "pin..later", "--format", "junit")
    assert ran.code == 3
    suites = validated_junit(ran.out)
    assert len(suites) == 1, "the end of the history is the revision that was asked for"
    told = {failure.attrib["type"]: failure.text or "" for failure in suites.iter("failure")}
    assert f"conflict since {broken[:12]} (" in told["conflict"]
    assert told["gone"].count(f"in {gone[:12]} (") == 1
    assert validated_junit(check("--history", "pin..later", "--format", "junit").out)[0][0].attrib


def test_lint(check: Check, stand_in: StandIn) -> None:
    patches = stand_in.project / "patches"
    (patches / "stray").touch()
    series = (patches / "series").read_text()
    (patches / "series").write_text(series + series.splitlines()[-1])
    ran = check("--format", "junit")
    assert (ran.code, ran.err) == (1, "")
    (suite,) = validated_junit(ran.out)
    assert suite.attrib["name"] == "lint"
    names = {test.attrib["name"]: test[0].text for test in suite}
    assert names["patches/stray"] == "patches/stray: is not in the series"
    assert "appears 2 times" in (names["patches/series"] or "")
