"""Patch files are interpreted as git does, or refused with a reason."""

from __future__ import annotations

import time

import pytest

from mfn_patcher.patching.series import load_series
from tests.support.lone import HEADER, NAME, Lone, numbered, states
from tests.support.repositories import DIFF, commit, git, write_upstream

pytestmark = pytest.mark.long


@pytest.mark.parametrize("end", [b"\n", b"\n\n", b"-- \n2.39.5\n\n", b"-- \n"])
def test_what_may_stand_behind_a_diff(lone: Lone, end: bytes) -> None:
    """An empty line, as editors leave one, or the signature of git format-patch."""
    lone.add_file("new")
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
    ran = lone.tool("apply", "-w", workspace, *lone.places)
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
    "Re: [PATCH] Change it",
    "Change [PATCH] it",
]
DATES = ["Tue, 24 Nov 2026 00:00:00 +1430", "Tue, 24 Nov 2026 00:00:00 -2359"]


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


@pytest.mark.parametrize("date", DATES)
def test_time_zones_that_do_not_exist(lone: Lone, date: str) -> None:
    lone.make(b"old\n", b"new\n")
    data = lone.patch.read_bytes()
    lone.patch.write_bytes(data.replace(b"Tue, 24 Nov 2026 00:00:00 +0000", date.encode()))
    apply_and_am(lone)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("From: =?no-such-charset?q?A?= <a@b>\n", "cannot decode"),
        ("From: =?UTF-8?b?!?= <a@b>\n", "cannot decode"),
        ("From: =?UTF-8?q?=FF?= <a@b>\n", "cannot decode"),
        ("From: =?UTF-8?q?A=00?= <a@b>\n", "NUL"),
        ("From: nobody\n", "From: Name <address>"),
        ("From: ... <a@b>\n", "From: Name <address>"),
        ("From: A <a@b>\n\nA\0\n", "NUL"),
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


@pytest.mark.parametrize("mode", ["120000", "160000"])
def test_changes_of_links_and_submodules_are_refused(lone: Lone, mode: str) -> None:
    lone.make(b"old", b"new")
    data = lone.patch.read_bytes()
    lone.patch.write_bytes(data.replace(b" 100644\n", f" {mode}\n".encode()))
    code, text = lone.check()
    assert (code, "only regular files" in text) == (1, True), text


def test_a_link_with_the_content_of_the_file(lone: Lone) -> None:
    lone.make(b"old", b"new")
    (lone.upstream / "file").unlink()
    (lone.upstream / "file").symlink_to("old")  # of the same blob
    pin = commit(lone.upstream, "A link")
    (lone.project / "pinned_commit.txt").write_text(f"{pin}\n")
    workspace = lone.project.parent / "workspace"
    ran = lone.tool("apply", "-w", workspace, *lone.places)
    assert (ran.code, "is a link or a submodule" in ran.err) == (1, True), ran.err


@pytest.mark.parametrize("mode", ["120000", "160000", "100600"])
def test_links_and_submodules_are_refused(lone: Lone, mode: str) -> None:
    lone.add_file("file")
    data = lone.patch.read_bytes().replace(
        b"new file mode 100644", f"new file mode {mode}".encode()
    )
    lone.patch.write_bytes(data)
    code, text = lone.check()
    assert (code, "only regular files" in text) == (1, True)
