"""For patches and files of every kind, the verdict is git's, or the patch is refused."""

from __future__ import annotations

import re
import subprocess
import time

import pytest

from tests.support.lone import HEADER, NAME, Lone, numbered, states
from tests.support.repositories import DIFF, commit, git
from tests.support.tool import validated

pytestmark = pytest.mark.long


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


def test_a_binary_patch_without_the_content_is_refused(lone: Lone) -> None:
    lone.make(bytes(range(256)), bytes(range(255, -1, -1)))
    assert b"Binary files a/file and b/file differ\n" in lone.patch.read_bytes()
    for places in ((), ("--against", "upstream")):
        code, said = lone.check(*places)
        assert code == 1
        assert "file: the content of the binary file is missing" in said


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
    diffs = {"created twice": create * 2, "removed, then changed": remove + change}
    lone.patch.write_bytes(HEADER + diffs.get(order, change + remove))
    code, text = lone.check()
    assert code == 1
    assert re.search(
        "the file (exists|does not exist)|changes the file that this one removes", text
    )


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("there", ["file/below", "file/deeper/below"])
def test_a_new_file_where_upstream_has_a_folder(lone: Lone, there: str, link: bool) -> None:
    lone.add_file("file")
    place = lone.upstream / there
    place.parent.mkdir(parents=True)
    if link:
        place.symlink_to("nowhere")
    else:
        place.write_text("in the way\n")
    check_blocked(lone, there)


def test_a_new_file_below_what_is_a_file(lone: Lone) -> None:
    lone.add_file("file/below/deeper")
    (lone.upstream / "file").write_text("in the way\n")
    check_blocked(lone, "file")


def check_blocked(lone: Lone, by: str) -> None:
    commit(lone.upstream, "In the way")
    apply = ["git", "apply", "--cached", str(lone.patch)]
    assert subprocess.run(apply, cwd=lone.upstream, check=False).returncode
    for how in (("--against", "upstream"), ("--history",)):
        ran = lone.tool("check", *lone.places, *how, "--format", "json")
        assert ran.code == 3
        document = validated("check", ran.out)
        (patch,) = (
            document["history"]["to"] if how[0] == "--history" else document["revisions"][0]
        )["patches"]
        assert {hunk["blocked_by"] for hunk in patch["hunks"]} == {None, by}
    text = lone.check("--against", "upstream")[1]
    assert f"hunk 1: cannot add the file: {by} is in the way" in text


def test_a_new_file_that_upstream_has(lone: Lone) -> None:
    lone.add_file("file")
    (lone.upstream / "file").write_bytes(b"another\n")
    commit(lone.upstream, "Add it differently")
    code, text = lone.check("--against", "upstream")
    assert code == 3
    assert "file: hunk 1: cannot add the file: it exists, with other content" in text
    assert "expected:" not in text
    (lone.upstream / "file").write_bytes(b"new\n")
    commit(lone.upstream, "Add it alike")
    code, text = lone.check("--against", "upstream")
    assert (code, "already applied" in text) == (3, True)


def test_a_new_file_with_two_hunks(lone: Lone) -> None:
    """git's second hunk finds no file's end where it must stand."""
    lone.add_file("file")
    data = lone.patch.read_bytes()
    lone.patch.write_bytes(
        data.replace(b"@@ -0,0 +1 @@\n+new\n", b"@@ -0,0 +1 @@\n+new\n@@ -0,0 +2 @@\n+more\n")
    )
    assert not lone.taken_by_git()
    code, text = lone.check()
    assert (code, "file: hunk 2: conflict" in text) == (3, True)
    ran = lone.tool("apply", "-w", lone.project / "workspace", *lone.places)
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


def test_a_long_table_that_moved(lone: Lone) -> None:
    """A comparison line by line would take minutes for this many equal lines."""
    old = b"{\n}\n0\n" * 20_000
    lone.make(old, b"# a table\n" + old)
    (lone.upstream / "elsewhere").mkdir()
    git(lone.upstream, "mv", "file", "elsewhere/file")
    (lone.upstream / "elsewhere" / "file").write_bytes(old + b"more\n")
    commit(lone.upstream, "Move it")
    began = time.monotonic()
    code, text = lone.check("--against", "upstream")
    assert (code, "moved to elsewhere/file (100% similar)" in text) == (3, True), text
    assert time.monotonic() - began < 30
