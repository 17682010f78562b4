"""Patches and files of every kind: the verdict is git's, or the patch is refused with a reason."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.patching.series import load_series
from tests.support.repositories import commit, git, write_upstream
from tests.support.tool import Tool, validated

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
        write_upstream(self.project)
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
    assert "ambiguous: its context is in several places, one at line 3" in text
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
        assert "CRLF" in text or "contains no git diff" in text


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
    moved = f"the file moved to elsewhere/file (100% similar) in {renamed[:12]} ("
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
        assert "file: binary patches are not supported" in said


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


def test_two_diffs_of_one_file(lone: Lone) -> None:
    """The second is judged on what the first leaves."""
    old = b"".join(numbered(40))
    middle = old.replace(b"line 5\n", b"FIVE\n")
    lone.make(middle, middle.replace(b"line 30\n", b"THIRTY\n").replace(b"FIVE\n", b"5\n"))
    second = lone.patch.read_bytes().partition(b"---\n")[2]
    lone.make(old, middle)
    lone.patch.write_bytes(lone.patch.read_bytes() + second)
    assert lone.check()[0] == 0, lone.check()
    assert states(lone.at(old)) == ["exact"] * 3
    assert [hunk["hunk"] for hunk in lone.at(b"above\n" + old)] == [1, 2, 3]
    assert states(lone.at(old.replace(b"line 30\n", b"DRIFT\n"))) == ["exact", "exact", "conflict"]
    assert "conflict" in states(lone.at(old.replace(b"line 5\n", b"DRIFT\n")))


@pytest.mark.parametrize(
    "order", ["created twice", "removed, then changed", "changed, then removed"]
)
def test_diffs_of_one_file_that_contradict_each_other(lone: Lone, order: str) -> None:
    old = b"".join(numbered(9))
    lone.make(old, old.replace(b"line 4\n", b"line four\n"))
    change = lone.patch.read_bytes()[len(HEADER) :]
    (lone.upstream / "file").unlink()
    remove = git(lone.upstream, *DIFF, "HEAD")
    create = git(lone.upstream, *DIFF, "-R", "--src-prefix=b/", "--dst-prefix=a/", "HEAD")
    git(lone.upstream, "checkout", "file")
    diffs = {"created twice": create * 2, "removed first": remove + change}
    lone.patch.write_bytes(HEADER + diffs.get(order, change + remove))
    code, text = lone.check()
    assert code == 1
    assert re.search(
        "the file (exists|does not exist)|changes the file that this one removes", text
    )


@pytest.mark.parametrize("there", ["file/below", "file/deeper/below"])
def test_a_new_file_where_upstream_has_a_folder(lone: Lone, there: str) -> None:
    add_file(lone, "file")
    place = lone.upstream / there
    place.parent.mkdir(parents=True)
    place.write_text("in the way\n")
    check_blocked(lone, there)


def test_a_new_file_below_what_is_a_file(lone: Lone) -> None:
    add_file(lone, "file/below/deeper")
    (lone.upstream / "file").write_text("in the way\n")
    check_blocked(lone, "file")


def add_file(lone: Lone, path: str) -> None:
    """Make a patch that adds a file and changes another."""
    (lone.upstream / "other").write_text("other\n")
    pin = commit(lone.upstream, "The pin")
    (lone.upstream / path).parent.mkdir(parents=True, exist_ok=True)
    (lone.upstream / path).write_text("new\n")
    (lone.upstream / "other").write_text("changed\n")
    git(lone.upstream, "add", "--all")
    lone.patch.parent.mkdir(parents=True, exist_ok=True)
    lone.patch.write_bytes(HEADER + git(lone.upstream, *DIFF, "--cached"))
    (lone.project / "patches" / "series").write_text(f"{NAME}\n")
    (lone.project / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(lone.project)
    git(lone.upstream, "reset", "--quiet", "--hard")
    git(lone.upstream, "clean", "--quiet", "-dff")
    assert lone.check()[0] == 0


def check_blocked(lone: Lone, by: str) -> None:
    commit(lone.upstream, "In the way")
    apply = ["git", "apply", "--cached", str(lone.patch)]
    assert subprocess.run(apply, cwd=lone.upstream, check=False).returncode
    places = ("--upstream", lone.upstream, "--project", lone.project)
    for how in (("--against", "upstream"), ("--history",)):
        ran = lone.tool("check", *places, *how, "--format", "json")
        assert ran.code == 3
        document = validated("check", ran.out)
        (patch,) = (
            document["history"]["to"] if how[0] == "--history" else document["revisions"][0]
        )["patches"]
        assert {hunk["blocked_by"] for hunk in patch["hunks"]} == {None, by}
    text = lone.check("--against", "upstream")[1]
    assert f"hunk 1: cannot add the file: {by} is in the way" in text


def test_a_new_file_with_two_hunks(lone: Lone) -> None:
    """git's second hunk finds no file's end where it must stand."""
    add_file(lone, "file")
    data = lone.patch.read_bytes()
    lone.patch.write_bytes(
        data.replace(b"@@ -0,0 +1 @@\n+new\n", b"@@ -0,0 +1 @@\n+new\n@@ -0,0 +2 @@\n+more\n")
    )
    assert not lone.taken_by_git()
    code, text = lone.check()
    assert (code, "file: hunk 2: conflict" in text) == (3, True)
    places = ("--upstream", lone.upstream, "--project", lone.project)
    ran = lone.tool("apply", "-w", lone.project / "workspace", *places)
    assert (ran.code, "file: hunk 2" in ran.err) == (1, True)


def test_a_file_that_patch_and_upstream_removed(lone: Lone) -> None:
    old = b"".join(numbered(40))
    lone.make(old, b"")
    (lone.upstream / "file").unlink()
    lone.patch.write_bytes(HEADER + git(lone.upstream, *DIFF))
    git(lone.upstream, "checkout", "file")
    assert lone.check()[0] == 0
    pin = git(lone.upstream, "rev-parse", "HEAD").decode().strip()
    git(lone.upstream, "rm", "--quiet", "file")
    commit(lone.upstream, "Remove it")
    for options in (("--against", "upstream"), ("--history",)):
        code, text = lone.check(*options)
        assert (code, "merged" in text) == (3, True)
        assert "file: hunk 1: already applied: the file does not exist" in text
        assert lone.check(*options, "--allow", "merged")[0] == 0
    # Moved, it is still there, and would stay.
    git(lone.upstream, "checkout", "--quiet", "-B", "moved", pin)
    (lone.upstream / "folder").mkdir()
    git(lone.upstream, "mv", "file", "folder/file")
    commit(lone.upstream, "Move it")
    code, text = lone.check("--against", "moved", "--allow", "merged")
    assert (code, "the file moved to folder/file" in text) == (3, True)
    # What upstream adds is not what the patch removes.
    git(lone.upstream, "checkout", "--quiet", "-B", "grown", pin)
    assert states(lone.at(old + b"more\n")) == ["conflict"]


def test_upstream_adds_the_missing_newline(lone: Lone) -> None:
    old = b"".join(numbered(40))[:-1]
    lone.make(old, old.replace(b"line 37\n", b"LINE 37\n"))
    assert states(lone.at(old + b"\n")) == ["exact"]
    assert states(lone.at(b"above\n" + old + b"\n")) == ["offset"]
    assert states(lone.at(old + b" more\n")) == ["conflict"]


@pytest.mark.parametrize("end", [b"\n", b"\n\n", b"-- \n2.39.5\n\n", b"-- \n"])
def test_what_may_stand_behind_a_diff(lone: Lone, end: bytes) -> None:
    """An empty line, as editors leave one, or the signature of git format-patch."""
    add_file(lone, "new")
    data = lone.patch.read_bytes()
    first, _, second = data.rpartition(b"diff --git ")
    between = end if not end.startswith(b"-") else b""
    lone.patch.write_bytes(first + between + b"diff --git " + second + end)
    assert lone.taken_by_git()
    code, text = lone.check()
    assert (code, "0 of 1 patches drift" in text) == (0, True), text
    apply_and_am(lone)


@pytest.mark.parametrize(
    "line", [b"+more\n", b" more\n", b"some words\n", b"@@ -1 +1 @\n", b"\r\n"]
)
def test_what_git_would_pass_over_is_refused(lone: Lone, line: bytes) -> None:
    old = b"".join(numbered(20))
    lone.make(old, old.replace(b"line 9\n", b"line nine\n"))
    lone.patch.write_bytes(lone.patch.read_bytes() + line)
    code, text = lone.check()
    assert (code, "the diff does not parse" in text) == (1, True), text


def test_an_empty_line_of_context_without_its_blank(lone: Lone) -> None:
    old = b"".join(numbered(9)).replace(b"line 3\n", b"\n").replace(b"line 7\n", b"\n")
    lone.make(old, old.replace(b"line 5\n", b"line five\n"))
    data = lone.patch.read_bytes()
    assert b"\n \n" in data
    lone.patch.write_bytes(data.replace(b"\n \n", b"\n\n"))
    assert lone.check()[0] == 0
    assert states(lone.at(b"above\n" + old)) == ["offset"]


@pytest.mark.parametrize(
    "path",
    [
        "naïve.py",
        "人脸.py",
        'quo"te',
        "back\\slash",
        "with blank",
        "a b c",
        "caf\udce9",
        "src/[a]*.py",
        "-x",
    ],
)
def test_names_that_git_quotes_or_not(lone: Lone, path: str) -> None:
    (lone.upstream / path).parent.mkdir(exist_ok=True)
    (lone.upstream / path).write_bytes(b"one\ntwo\n")
    pin = commit(lone.upstream, "The pin")
    (lone.upstream / path).write_bytes(b"one\nTWO\n")
    lone.patch.parent.mkdir(parents=True)
    (lone.project / "patches" / "series").write_text(f"{NAME}\n")
    (lone.project / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(lone.project)
    diffs = [git(lone.upstream, "-c", f"core.quotePath={it}", *DIFF) for it in ("true", "false")]
    commits = set()
    for quoted, diff in zip(("true", "false"), diffs):
        lone.patch.write_bytes(HEADER + diff)
        (patch,) = load_series(lone.project).patches
        assert patch.paths == (path,)
        git(lone.upstream, "config", "core.quotePath", quoted)
        assert lone.check()[0] == 0
        assert lone.check("--history")[0] == 0
        commits.add(apply_and_am(lone))
    assert len(commits) == 1


def apply_and_am(lone: Lone) -> bytes:
    """Apply the patch, and have git am do it; the trees and authors must agree."""
    workspace = lone.project.parent / f"workspace-{time.monotonic_ns()}"
    places = ("--upstream", lone.upstream, "--project", lone.project)
    ran = lone.tool("apply", "-w", workspace, *places)
    assert ran.code == 0, ran.err
    git(lone.upstream, "checkout", "--quiet", "--force", "-B", "am", "master")
    git(lone.upstream, "am", "--quiet", "--keep-cr", str(lone.patch))
    form = "--format=%T %an <%ae> %ad %s"
    ours, its = (git(place, "log", "-1", form) for place in (workspace, lone.upstream))
    git(lone.upstream, "checkout", "--quiet", "master")
    assert ours == its
    return git(workspace, "log", "-1", "--format=%an%n%ae%n%s%n%T")


PEOPLE = [
    "J. Doe <j@b>",
    '"Doe, Jane" <j@b>',
    "Doe, Jane <j@b>",
    "Jane: Doe <j@b>",
    '"Jane \\"JD\\" Doe" <j@b>',
    "Zoë Ö <z@b>",
    "=?UTF-8?q?J=C3=BCrgen_M=C3=BCller?= <j@b>",
    "=?utf-8?B?5Lq66IS4?= <j@b>",
    "=?ISO-8859-1?Q?Andr=E9?= Li <a@b>",
    "=?UTF-8?q?J=C3=BCrgen=20?=\n =?UTF-8?q?M=C3=BCller?= <j@b>",
    "Jane Doe\n <j@b>",
]
SUBJECTS = [
    "=?UTF-8?q?Gr=C3=BC=C3=9Fe?=",
    "[PATCH] Change it",
    "[PATCH v2 1/3] Change it",
    "A subject that git has\n folded into two lines",
    "=?UTF-8?q?Eins_?=\n =?UTF-8?q?zwei_=E2=82=AC?= three",
    "人脸识别",
]


@pytest.mark.parametrize(
    ("person", "subject"),
    [*((person, "Change it") for person in PEOPLE), *(("A <a@b>", it) for it in SUBJECTS)],
)
def test_headers_mean_what_git_am_says(lone: Lone, person: str, subject: str) -> None:
    old = b"".join(numbered(9))
    lone.make(old, old.replace(b"line 4\n", b"line four\n"))
    data = lone.patch.read_bytes()
    data = data.replace(b"A <a@b>", person.encode(), 1).replace(b"Change it", subject.encode(), 1)
    lone.patch.write_bytes(data)
    assert lone.tool("lint", "--project", lone.project).code == 0
    apply_and_am(lone)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("From: =?no-such-charset?q?A?= <a@b>\n", "cannot decode"),
        ("From: =?UTF-8?b?!?= <a@b>\n", "cannot decode"),
        ("From: =?UTF-8?q?=FF?= <a@b>\n", "cannot decode"),
        ("From: nobody\n", "From: Name <address>"),
        ("Content-Transfer-Encoding: base64\nFrom: A <a@b>\n", "the mail is encoded"),
        ("Content-Type: text/plain; charset=GBK\nFrom: A <a@b>\n", "the mail is encoded"),
    ],
)
def test_headers_that_cannot_be_read(lone: Lone, header: str, message: str) -> None:
    old = b"".join(numbered(9))
    lone.make(old, old.replace(b"line 4\n", b"line four\n"))
    lone.patch.write_bytes(lone.patch.read_bytes().replace(b"From: A <a@b>\n", header.encode()))
    ran = lone.tool("lint", "--project", lone.project)
    assert (ran.code, message in ran.out) == (1, True), ran.out


@pytest.mark.parametrize("mode", ["120000", "160000", "100600"])
def test_links_and_submodules_are_refused(lone: Lone, mode: str) -> None:
    add_file(lone, "file")
    data = lone.patch.read_bytes().replace(
        b"new file mode 100644", f"new file mode {mode}".encode()
    )
    lone.patch.write_bytes(data)
    code, text = lone.check()
    assert (code, "only regular files" in text) == (1, True)


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
