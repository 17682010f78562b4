"""Patches and files of every kind: the verdict is git's, or the patch is refused with a reason."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Tool
from tests.preimages import commit, git
from tests.test_workspace import validated

HEADER = (
    b"From: A <a@b>\nDate: Tue, 24 Nov 2026 00:00:00 +0000\nSubject: Change it\n\n"
    b"Why: it\nOrigin: it\nEffect: it\n---\n"
)
DIFF = ("diff", "--full-index", "--no-ext-diff", "--no-color")
NAME = "stack/0001-change-it.patch"


@dataclass
class Lone:
    """An upstream with one file of interest, and a project with one patch of it."""

    tool: Tool
    upstream: Path
    project: Path

    @property
    def patch(self) -> Path:
        return self.project / "patches" / NAME

    def make(self, old: bytes, new: bytes, *options: str) -> None:
        """Write upstream's file, and the patch that makes `new` of it."""
        file = self.upstream / "file"
        file.write_bytes(old)
        git(self.upstream, "add", "--all")
        git(self.upstream, "commit", "--quiet", "--allow-empty", "--message", "The pin")
        pin = git(self.upstream, "rev-parse", "HEAD").decode().strip()
        file.write_bytes(new)
        self.patch.parent.mkdir(parents=True, exist_ok=True)
        self.patch.write_bytes(HEADER + git(self.upstream, *DIFF, *options))
        (self.project / "patches" / "series").write_text(f"{NAME}\n")
        (self.project / "pinned_commit.txt").write_text(f"{pin}\n")
        git(self.upstream, "checkout", "--quiet", "--", "file")

    def check(self, *options: str) -> tuple[int, str]:
        ran = self.tool("check", "--upstream", self.upstream, "--project", self.project, *options)
        return ran.code, ran.out + ran.err

    def at(self, content: bytes) -> list[dict[str, Any]]:
        """Let upstream's file become `content`; return the hunks, in which git must agree."""
        (self.upstream / "file").write_bytes(content)
        if git(self.upstream, "status", "--porcelain"):
            commit(self.upstream, "A later revision")
        places = ("--upstream", self.upstream, "--project", self.project)
        ran = self.tool("check", *places, "--against", "upstream", "--format", "json")
        (patch,) = validated("check", ran.out)["revisions"][0]["patches"]
        hunks: list[dict[str, Any]] = patch["hunks"]
        fits = patch["verdict"] in ("clean", "offset")
        assert ran.code == (0 if fits else 3)
        ambiguous = any(hunk["verdict"] == "ambiguous" for hunk in hunks)
        assert self.taken_by_git() == (fits or ambiguous)
        return hunks

    def taken_by_git(self) -> bool:
        ran = subprocess.run(
            ["git", "apply", "--cached", "--check", self.patch],
            cwd=self.upstream,
            capture_output=True,
            check=False,
        )
        return ran.returncode == 0


@pytest.fixture
def lone(tool: Tool, tmp_path: Path) -> Lone:
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    git(upstream, "init", "--quiet", "--initial-branch=master")
    return Lone(tool, upstream, tmp_path / "project")


def states(hunks: list[dict[str, Any]]) -> list[str]:
    return [hunk["verdict"] for hunk in hunks]


def numbered(count: int) -> list[bytes]:
    return [b"line %d\n" % number for number in range(count)]


def test_a_file_with_the_context_twice(lone: Lone) -> None:
    block = b"1\n2\n3\nold\n4\n5\n6\n"
    twice = b"begin\n" + block + b"between\n" + block + b"end\n"
    lone.make(twice, twice.replace(b"old", b"new", 1))
    assert lone.check()[0] == 0
    assert states(lone.at(twice)) == ["exact"]
    (hunk,) = lone.at(b"one more\n" + twice)
    assert (hunk["verdict"], hunk["offset"]) == ("ambiguous", 1)
    code, text = lone.check("--against", "upstream")
    assert code == 3
    assert "ambiguous: its context stands in several places, one at line 3" in text
    assert states(lone.at(b"one more\nbegin\n" + block + b"end\n")) == ["offset"]


def test_a_patch_of_crlf_lines(lone: Lone) -> None:
    old = b"".join(numbered(20)).replace(b"\n", b"\r\n")
    lone.make(old, old.replace(b"line 9\r\n", b"line nine\r\n"))
    assert b"-line 9\r\n" in lone.patch.read_bytes()
    assert lone.check()[0] == 0
    assert states(lone.at(b"above\r\n" + old)) == ["offset"]
    assert states(lone.at(old.replace(b"\r\n", b"\n"))) == ["conflict"]


def test_a_patch_file_that_was_turned_into_crlf_is_refused(lone: Lone) -> None:
    old = b"".join(numbered(20))
    lone.make(old, old.replace(b"line 9\n", b"line nine\n"))
    lone.patch.write_bytes(lone.patch.read_bytes().replace(b"\n", b"\r\n"))
    for options in ((), ("--against", "upstream")):
        code, text = lone.check(*options)
        assert code == 1
        assert "CRLF" in text or "holds no git diff" in text


@pytest.mark.parametrize(("end", "new_end"), [(b"", b""), (b"", b"\n"), (b"\n", b"")])
def test_no_newline_at_the_end(lone: Lone, end: bytes, new_end: bytes) -> None:
    old = b"".join(numbered(9))
    lone.make(old + b"last" + end, old + b"LAST" + new_end)
    assert b"\\ No newline at end of file" in lone.patch.read_bytes()
    assert lone.check()[0] == 0
    assert states(lone.at(b"above\n" + old + b"last" + end)) == ["offset"]
    other = b"" if end else b"\n"
    assert states(lone.at(old + b"last" + other)) == ["conflict"]
    assert states(lone.at(old + b"LAST" + new_end)) == ["already-applied"]


def test_a_file_that_upstream_renamed(lone: Lone) -> None:
    old = b"".join(numbered(40))
    lone.make(old, old.replace(b"line 9\n", b"line nine\n"))
    (lone.upstream / "elsewhere").mkdir()
    git(lone.upstream, "mv", "file", "elsewhere/file")
    renamed = commit(lone.upstream, "Rename it")
    assert not lone.taken_by_git()
    code, text = lone.check("--against", "upstream")
    assert code == 3
    moved = f"the file moved to elsewhere/file (100% alike) since {renamed[:12]} ("
    assert f"file: hunk 1: {moved}" in text


def test_a_patch_that_renames_is_refused(lone: Lone) -> None:
    old = b"".join(numbered(40))
    lone.make(old, old)
    git(lone.upstream, "mv", "file", "other")
    (lone.upstream / "other").write_bytes(old.replace(b"line 9\n", b"line nine\n"))
    diff = git(lone.upstream, *DIFF, "HEAD", "--find-renames")
    assert b"rename from file" in diff
    lone.patch.write_bytes(HEADER + diff)
    for options in ((), ("--against", "upstream")):
        code, text = lone.check(*options)
        assert code == 1
        assert f"{NAME}:" in text
        assert "renames are not supported" in text


@pytest.mark.parametrize(
    ("options", "text"),
    [(["--binary"], b"GIT binary patch\n"), ([], b"Binary files a/file and b/file differ\n")],
)
def test_a_binary_patch_is_refused(lone: Lone, options: list[str], text: bytes) -> None:
    lone.make(bytes(range(256)), bytes(range(255, -1, -1)), *options)
    assert text in lone.patch.read_bytes()
    for places in ((), ("--against", "upstream")):
        code, said = lone.check(*places)
        assert code == 1
        assert "file: a binary patch cannot be reviewed" in said


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", ".git/config"])
def test_a_path_that_leaves_the_tree_is_refused(lone: Lone, path: str) -> None:
    old = b"".join(numbered(20))
    lone.make(old, old.replace(b"line 9\n", b"line nine\n"))
    data = lone.patch.read_bytes()
    lone.patch.write_bytes(
        data.replace(b"a/file", b"a/" + path.encode()).replace(b"b/file", b"b/" + path.encode())
    )
    for options in ((), ("--against", "upstream")):
        code, text = lone.check(*options)
        assert code == 1
        assert f"{path}: the path leaves the tree" in text


def test_an_empty_context(lone: Lone) -> None:
    # git takes a hunk without context after it for one at the file's end.
    old = b"".join(numbered(9))
    lone.make(old, old.replace(b"line 4\n", b"line four\n"), "--unified=0")
    assert lone.check()[0] == 3
    assert states(lone.at(old)) == ["conflict"]
    lone.make(old, old.replace(b"line 8\n", b"line eight\n"), "--unified=0")
    assert lone.check()[0] == 0
    assert states(lone.at(b"above\n" + old)) == ["offset"]
    assert states(lone.at(old + b"below\n")) == ["conflict"]


def test_a_file_that_is_empty(lone: Lone) -> None:
    lone.make(b"", b"first\n")
    assert lone.check()[0] == 0
    assert states(lone.at(b"")) == ["exact"]
    assert states(lone.at(b"first\n")) == ["already-applied"]
    assert states(lone.at(b"another\n")) == ["conflict"]


def test_a_file_of_1_mb(lone: Lone) -> None:
    lines = numbered(95_000)
    old = b"".join(lines)
    assert len(old) > 1_000_000
    places = (b"line 7\n", b"line 45000\n", b"line 89990\n")
    new = old
    for place in places:
        new = new.replace(place, place.replace(b"line", b"LINE"))
    lone.make(old, new)
    assert lone.check()[0] == 0
    (above, within) = (b"one more\n", b"".join(lines[20:30]))
    assert states(lone.at(above + old.replace(within, b""))) == ["offset"] * 3
    hunks = lone.at(old.replace(b"line 45001\n", b"drifted\n"))
    assert states(hunks) == ["exact", "conflict", "exact"]
    assert hunks[1]["line"] == 44_998


def test_a_file_of_1_mb_of_equal_lines(lone: Lone) -> None:
    same = b"the same line\n" * 80_000
    old = same + b"the one\n" + same
    lone.make(old, old.replace(b"the one\n", b"the two\n"))
    assert lone.check()[0] == 0
    assert states(lone.at(b"the same line\n" + old)) == ["offset"]
    assert states(lone.at(same)) == ["conflict"]
