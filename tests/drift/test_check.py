"""The drift check on a stand-in for upstream, with a test for each verdict."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.patching.git import version
from tests.support.repositories import StandIn, commit, edit, git
from tests.support.tool import Check, Tool, validated
from tests.support.toy_series import (
    ITEMS,
    NO_BIAS,
    PATCHES,
    RANGES,
    RATES,
    ROUNDS,
    SHAPES,
    TABLE,
    TRAIN,
)


def judged(check: Check, upstream: Path, code: int) -> dict[str, Any]:
    """Check against a new revision; return the patches by name."""
    commit(upstream, "A later revision")
    ran = check("--against", "later", "--format", "json")
    assert ran.code == code, ran.err
    (revision,) = validated("check", ran.out)["revisions"]
    return {patch["patch"]: patch for patch in revision["patches"]}


def test_the_pin(check: Check) -> None:
    ran = check()
    assert ran.code == 0, ran.err
    assert f"0 of {len(PATCHES)} patches drift at pin" in ran.out


def test_the_pin_must_match_to_the_byte(check: Check, stand_in: StandIn, later: Path) -> None:
    edit(later, SHAPES, b"# filler 1\n", b"# another line, which no patch quotes\n")
    (stand_in.project / "pinned_commit.txt").write_text(commit(later, "Another pin"))
    ran = check()
    assert ran.code == 3
    assert f"{SHAPES}: hunk 1: the text fits, but the patch was made for another version" in ran.out
    assert check("--against", "later").code == 0


def test_lint_comes_first(check: Check, stand_in: StandIn) -> None:
    (stand_in.project / "patches" / "stray").touch()
    ran = check()
    assert ran.code == 1
    assert "stray: is not in the series" in ran.out
    ran = check("--format", "json")
    assert (ran.code, ran.err) == (1, "")
    document = validated("check", ran.out)
    message = {"file": "patches/stray", "line": None, "message": "is not in the series"}
    assert document == {"problems": [message], "revisions": [], "history": None}


def test_offset(check: Check, later: Path) -> None:
    file = later / SHAPES
    file.write_bytes(b"one line\nand another\n" + file.read_bytes())
    patches = judged(check, later, 0)
    assert patches[RANGES]["verdict"] == "offset"
    hunk = next(hunk for hunk in patches[RANGES]["hunks"] if hunk["path"] == SHAPES)
    assert (hunk["verdict"], hunk["offset"], hunk["line"]) == ("offset", 2, 29)
    assert check("--against", "later", "--allow", "exact").code == 3


def test_conflict(check: Check, later: Path) -> None:
    edit(later, SHAPES, b"    pw = (kw-1)/2\n", b"    pw = kw/2\n")
    patches = judged(check, later, 3)
    hunk = next(hunk for hunk in patches[RANGES]["hunks"] if hunk["verdict"] == "conflict")
    assert (hunk["path"], hunk["hunk"]) == (SHAPES, 1)
    assert "    pw = (kw-1)/2" in hunk["expected"]
    assert "    pw = kw/2" in hunk["found"]
    text = check("--against", "later").out
    assert "expected:     pw = (kw-1)/2" in text
    assert "found:        pw = kw/2" in text
    assert f"1 of {len(PATCHES)} patches drift" in text


def test_already_applied(check: Check, later: Path) -> None:
    edit(later, TABLE, b".iteritems()", b".items()")
    patches = judged(check, later, 3)
    assert patches[ITEMS]["verdict"] == "merged"
    assert check("--against", "later", "--allow", "merged").code == 0


def test_applied_in_part_is_a_conflict(check: Check, later: Path) -> None:
    edit(
        later,
        SHAPES,
        b"    pw = (kw-1)/2\n    ph = (kh-1)/2\n",
        b"    pw = (kw-1)//2\n    ph = (kh-1)//2\n",
    )
    patch = judged(check, later, 3)[RANGES]
    assert patch["verdict"] == "conflict"
    assert "already-applied" in {hunk["verdict"] for hunk in patch["hunks"]}


def test_a_patch_that_builds_on_one_that_fails_says_so(check: Check, later: Path) -> None:
    edit(later, TRAIN, b"bias = bias, num_hidden", b"bias=bias, num_hidden")
    patches = judged(check, later, 3)
    assert patches[NO_BIAS]["verdict"] == "conflict"
    second = patches[RATES]
    assert second["needs"] == [NO_BIAS]
    assert "builds on fixes/0001" in check("--against", "later").out


def test_file_moved(check: Check, later: Path) -> None:
    (later / "recognition").mkdir()
    git(later, "mv", TABLE, "recognition/table.py")
    moved = commit(later, "Move it to recognition/")
    (later / "README.md").write_text("no patched file\n")
    patch = judged(check, later, 3)[ITEMS]
    assert patch["verdict"] == "gone"
    (hunk,) = patch["hunks"]
    assert (hunk["verdict"], hunk["moved_to"]) == ("file-moved", "recognition/table.py")
    assert hunk["similarity"] > 0.9
    assert hunk["removed_by"]["commit"] == moved
    assert hunk["removed_by"]["subject"] == "Move it to recognition/"
    assert "the file moved to recognition/table.py" in check("--against", "later").out


def test_file_gone(check: Check, later: Path) -> None:
    git(later, "rm", "--quiet", TABLE)
    gone = commit(later, "Drop sphere\u00adnet")
    (later / "README.md").write_text("no patched file\n")
    patch = judged(check, later, 3)[ITEMS]
    assert [hunk["verdict"] for hunk in patch["hunks"]] == ["file-gone"]
    date = git(later, "log", "-1", "--format=%cs", gone).decode().strip()
    told = f"the file was removed in {gone[:12]} ({date}): Drop sphere\u00adnet"
    assert told in check("--against", "later").out
    history = validated("check", check("--history", "pin..later", "--format", "json").out)
    last = history["history"]["to"]["patches"]
    (hunk,) = next(entry for entry in last if entry["patch"] == patch["patch"])["hunks"]
    assert hunk["removed_by"] == patch["hunks"][0]["removed_by"]


def test_a_file_that_a_side_branch_took(check: Check, later: Path) -> None:
    git(later, "checkout", "--quiet", "-b", "side")
    git(later, "rm", "--quiet", TABLE)
    gone = commit(later, "Drop it on a side")
    git(later, "checkout", "--quiet", "later")
    (later / "README.md").write_text("no patched file\n")
    commit(later, "Go on")
    git(later, "merge", "--quiet", "--no-edit", "side")
    assert f"the file was removed in {gone[:12]} (" in check("--against", "later").out


def test_a_file_that_a_merge_took(check: Check, later: Path) -> None:
    git(later, "checkout", "--quiet", "-b", "side")
    (later / "README.md").write_text("no patched file\n")
    commit(later, "Go aside")
    git(later, "checkout", "--quiet", "later")
    git(later, "merge", "--quiet", "--no-ff", "--no-commit", "side")
    git(later, "rm", "--quiet", TABLE)
    gone = commit(later, "Merge, and drop it")
    assert f"the file was removed in {gone[:12]} (" in check("--against", "later").out


def test_a_file_that_is_not_there_yet(check: Check, later: Path) -> None:
    git(later, "checkout", "--quiet", "--orphan", "before")
    git(later, "rm", "--quiet", "--force", TABLE)
    commit(later, "Before it was written")
    ran = check("--against", "before")
    assert ran.code == 3
    assert "src/table.py: hunk 1: the file does not exist\n" in ran.out


def test_drift_is_told_where_history_cannot_be_had(check: Check, later: Path) -> None:
    git(later, "rm", "--quiet", TABLE)
    gone = commit(later, "Drop it")
    (later / "README.md").write_text("no patched file\n")
    commit(later, "Go on")
    (later / ".git" / "objects" / gone[:2] / gone[2:]).unlink()
    ran = check("--against", "later")
    assert ran.code == 3
    assert "src/table.py: hunk 1: the file does not exist\n" in ran.out
    assert "cannot find the commits that removed files" in ran.err


def test_a_subject_that_is_not_utf_8(check: Check, later: Path) -> None:
    edit(later, TABLE, b".iteritems()", b".viewitems()")
    commit(later, "SUBJECT")
    raw = git(later, "cat-file", "commit", "HEAD")
    raw = raw.replace(b"SUBJECT", b"caf\xe9\x0c\xc2\x85 ol\xc3\xa9")
    broken = git(later, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw)
    git(later, "reset", "--quiet", "--hard", broken.decode().strip())
    for form in ("text", "json", "github"):
        ran = check("--history", "pin..later", "--format", form)
        assert (ran.code, "caf\ufffd" in ran.out) == (3, True), ran.err


def test_crlf_that_upstream_gave_up_is_a_conflict(check: Check, later: Path) -> None:
    file = later / ROUNDS
    file.write_bytes(file.read_bytes().replace(b"\r\n", b"\n"))
    patch = judged(check, later, 3)[RANGES]
    (hunk,) = (hunk for hunk in patch["hunks"] if hunk["verdict"] != "exact")
    assert (hunk["path"], hunk["verdict"]) == ("src/rounds.py", "conflict")
    text = check("--against", "later").out
    assert "expected:     for i in xrange(round):\\r\\n" in text
    assert "found:        for i in xrange(round):\\n" in text


@pytest.mark.parametrize("revision", ["no-such-branch", "f" * 40])
def test_what_cannot_be_found_out_is_no_drift(check: Check, revision: str) -> None:
    ran = check("--against", revision, "--format", "json")
    assert (ran.code, ran.out) == (1, "")
    assert revision[:12] in ran.err


def test_a_name_means_one_commit(check: Check, stand_in: StandIn, later: Path) -> None:
    """git ls-remote matches tails of names and globs, and lists whatever matches."""
    drifted = drift_away(later)
    git(later, "branch", "release")
    for reference in (
        "refs/original/refs/heads/later",
        "refs/heads/feature/later",
        "refs/remotes/fork/later",
        "refs/remotes/zfork/HEAD",
        "refs/heads/zfork/HEAD",
        "refs/tags/v1",
        "refs/heads/wide\u3000space",
        "refs/heads/line\u2028end",
    ):
        git(later, "update-ref", reference, stand_in.pin)
    for name in ("later", "refs/heads/later", "upstream", "HEAD", drifted, drifted[:9].upper()):
        ran = check("--against", name)
        assert (ran.code, drifted[:12] in ran.out) == (3, True), (name, ran.err)
    for name in ("feature/later", "v1", "refs/tags/v1", "refs/remotes/fork/later"):
        ran = check("--against", name)
        assert (ran.code, stand_in.pin[:12] in ran.out) == (0, True), (name, ran.err)
    for name in ("lat*", "v?", "l[a]ter", "ater", "heads/later", "fork/later", "HEAD^", "v1~0"):
        ran = check("--against", name)
        assert (ran.code, "no branch, tag or commit" in ran.err) == (1, True), name


def test_a_branch_and_a_tag_of_one_name(check: Check, stand_in: StandIn, later: Path) -> None:
    drifted = drift_away(later)
    git(later, "branch", "release")
    git(later, "tag", "--annotate", "--message", "a tag", "release", stand_in.pin)
    ran = check("--against", "release")
    assert (ran.code, "both a branch and a tag 'release'" in ran.err) == (1, True)
    assert "Use one of: refs/heads/release, refs/tags/release." in ran.err
    assert drifted[:12] in check("--against", "refs/heads/release").out
    assert stand_in.pin[:12] in check("--against", "refs/tags/release").out
    git(later, "tag", "--force", "release", drifted)
    assert drifted[:12] in check("--against", "release").out


def drift_away(later: Path) -> str:
    """Make a commit that a patch does not fit, and return it."""
    edit(later, SHAPES, b"    pw = (kw-1)/2\n", b"    pw = kw/2\n")
    return commit(later, "A later revision")


@pytest.mark.skipif(version() < (2, 29), reason="git has no SHA-256 here")
def test_an_upstream_with_sha_256(tool: Tool, stand_in: StandIn, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256", "it")
    (tmp_path / "it" / "file").write_text("x\n")
    commit(tmp_path / "it", "first")
    command = ("check", "--project", stand_in.project, "--upstream", tmp_path / "it")
    for against in ("upstream", stand_in.pin):
        ran = tool(*command, "--against", against)
        assert (ran.code, "have SHA-1 ids. Use a mirror" in ran.err) == (1, True), ran.err


def test_no_network_is_no_drift(tool: Tool) -> None:
    ran = tool("check", "--upstream", "file:///nowhere")
    assert ran.code == 1
    assert "could not be fetched" in ran.err


def test_several_revisions(check: Check, later: Path) -> None:
    revision = git(later, "rev-parse", "HEAD").decode().strip()
    ran = check("--against", "upstream", "--against", revision, "--format", "json")
    names = [entry["revision"] for entry in json.loads(ran.out)["revisions"]]
    assert names == ["upstream", revision]


def test_history_names_the_commit(check: Check, later: Path) -> None:
    file = later / TABLE
    file.write_bytes(b"above\n" + file.read_bytes())
    moved = commit(later, "Insert a line")
    (later / "README.md").write_text("no patched file\n")
    commit(later, "Say something")
    edit(later, TABLE, b".iteritems()", b".viewitems()")
    broken = commit(later, "View the items")
    ran = check("--history", "pin..later", "--format", "json")
    assert ran.code == 3
    history = validated("check", ran.out)["history"]
    assert history["commits"] == 2
    changes = [(c["patch"], c["commit"], c["verdict"]) for c in history["changes"]]
    assert changes == [
        (RANGES, moved, "offset"),
        (ITEMS, moved, "offset"),
        (ITEMS, broken, "conflict"),
    ]
    text = check("--history", "pin..later").out
    offset, conflict = (f"since {commit[:12]} (" for commit in (moved, broken))
    assert f"\nport/0002-items.patch\n  offset {offset}" in text
    assert f"\n  conflict {conflict}" in text
    assert "): View the items\n" in text
    assert "\nfixes/0001-no-bias.patch\n  clean throughout\n" in text


def test_a_merge_that_brings_verdicts_together_is_no_change(check: Check, later: Path) -> None:
    """Both sides touch the file; what the merge leaves was the verdict on one of them."""
    path = TABLE
    git(later, "checkout", "--quiet", "-b", "side")
    (later / path).write_bytes((later / path).read_bytes() + b"below\n")
    commit(later, "Go aside")
    git(later, "checkout", "--quiet", "later")
    (later / path).write_bytes(b"above\n" + (later / path).read_bytes())
    moved = commit(later, "Insert a line")
    git(later, "merge", "--quiet", "--no-edit", "side")
    assert changes_of(check, "port/0002") == [(moved, "offset")]
    # A merge that makes what neither side had is one.
    git(later, "checkout", "--quiet", "-B", "aside", "HEAD~1")
    (later / path).write_bytes((later / path).read_bytes() + b"at the end\n")
    commit(later, "Go aside again")
    git(later, "checkout", "--quiet", "later")
    git(later, "merge", "--quiet", "--no-ff", "--no-commit", "--strategy=ours", "aside")
    edit(later, path, b".iteritems()", b".viewitems()")
    (later / path).write_bytes((later / path).read_bytes() + b"at the end\n")
    broken = commit(later, "Merge, and break it")
    assert changes_of(check, "port/0002") == [(moved, "offset"), (broken, "conflict")]


def test_the_last_commit_is_of_a_branch_with_another_verdict(check: Check, later: Path) -> None:
    git(later, "checkout", "--quiet", "-b", "side")
    (later / TABLE).write_bytes(b"above\n" + (later / TABLE).read_bytes())
    moved = commit(later, "Insert a line")
    git(later, "checkout", "--quiet", "later")
    edit(later, TABLE, b".iteritems()", b".items()")
    merged = commit(later, "Take the patch")
    git(later, "merge", "--quiet", "--no-edit", "side")
    assert changes_of(check, "port/0002") == [(merged, "merged"), (moved, "offset")]
    ran = check("--history", "pin..later")
    last = f"\n  merged at later, {git(later, 'rev-parse', '--short=12', 'HEAD').decode()}"
    assert (ran.code, last in ran.out) == (3, True), ran.out
    github = check("--history", "pin..later", "--format", "github").out
    assert f"%0Amerged since {merged[:12]} (" in github


def changes_of(check: Check, patch: str) -> list[tuple[str, str]]:
    ran = check("--history", "pin..later", "--format", "json")
    found = validated("check", ran.out)["history"]["changes"]
    return [(it["commit"], it["verdict"]) for it in found if it["patch"].startswith(patch)]


def test_a_history_without_the_pin(check: Check, later: Path) -> None:
    """Such as that of a repository made of a release archive."""
    assert "no commit in common" not in check("--history", "pin..later").err
    git(later, "checkout", "--quiet", "--orphan", "alone")
    alone = commit(later, "Begin again")
    ran = check("--history", "pin..alone")
    assert f"and {alone[:12]} have no commit in common, so all commits up to" in ran.err
    assert re.search(r"\n1 commit from \w+ to \w+ changes patched files\.\n", ran.out)


def test_history_takes_two_ends(check: Check) -> None:
    assert check("--history", "pin").code == 2
    assert check("--history").code == 0, "upstream's later commit touches no patched file"
