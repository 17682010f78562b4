"""A quilt series becomes patches that give quilt's files, with what their headers say."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from mfn_patcher.patching.lint import lint
from tests.patching.importing.conftest import (
    FILES,
    LINES,
    Workshop,
    change,
    needs_gnu_patch,
    plain,
    tree,
)
from tests.support.repositories import contents, git

pytestmark = [pytest.mark.long, needs_gnu_patch]

DEP3 = """\
Description: Say what the program does
 The first paragraph, which is
 folded.
 .
 The second one.
Author: Zoë Ö <zoe@example.org>, B <b@example.org>
Origin: vendor
Bug-Debian: https://bugs.example.org/1
Forwarded: not-needed
Last-Update: 2012-03-04

"""


def test_headers_of_dep_3(workshop: Workshop) -> None:
    workshop.put("01-say_it.patch", DEP3 + change("src/a.c", 3, "LINE 3"))
    workshop.put("series", "01-say_it.patch\n")
    ran = workshop.take(workshop.patches / "series")
    assert ran.code == 0, ran.err
    (patch,) = workshop.stored()
    assert patch.name == "debian/0001-say-it.patch"
    header = patch.header
    assert (header.author, header.address) == ("Zoë Ö", "zoe@example.org")
    assert header.date == datetime(2012, 3, 4, tzinfo=timezone.utc)
    assert header.subject == "Say what the program does"
    assert header.body == (
        "The first paragraph, which is\nfolded.\n\nThe second one.\n\n"
        "Author: Zoë Ö <zoe@example.org>, B <b@example.org>\n"
        "Origin: vendor\nBug-Debian: https://bugs.example.org/1\nForwarded: not-needed\n"
        "Last-Update: 2012-03-04"
    )


def test_a_mail_without_a_date(workshop: Workshop) -> None:
    head = "From: A Person <a@example.org>\nSubject: [ssl] Do it\nBug: x\nX-Version: 1\n\n"
    older = change("src/b.c", 3, "ROW 3").replace("2020-02-03", "2019-02-03")
    workshop.put("00", head + change("src/a.c", 3, "LINE 3") + older)
    workshop.put("series", "00\n")
    assert workshop.take(workshop.patches).code == 0
    (patch,) = workshop.stored()
    assert patch.name == "debian/0001-ssl-do-it.patch"
    assert patch.header.subject == "[ssl] Do it"
    assert patch.header.body == "Bug: x\nX-Version: 1"
    # The newest time behind the name of a file.
    zone = timezone(timedelta(hours=1))
    assert patch.header.date == datetime(2020, 2, 3, 10, 0, 0, tzinfo=zone)


@pytest.mark.parametrize(
    ("head", "author", "subject", "body"),
    [
        (
            "commit 0123456789\nAuthor: A Person <a@example.org>\n"
            "Date:   Tue Jun 18 10:50:51 2024 +0200\n\n    Do it\n\n    Because.\n\n",
            ("A Person", "a@example.org"),
            "Do it",
            "Because.",
        ),
        (
            "#! /bin/sh /usr/share/dpatch/dpatch-run\n## 01_it.dpatch by A Person <a@example.org>\n"
            "##\n## All lines beginning with `## DP:' are a description of the patch.\n"
            "## DP: Do it\n## DP: Because.\n\n@DPATCH@\n",
            ("A Person", "a@example.org"),
            "Do it",
            "Because.",
        ),
        (
            "#!/usr/bin/patch\n# Do it\n#\n# Because.\n",
            ("Me", "me@example.org"),
            "Do it",
            "Because.",
        ),
        ("Do it\n********************\n", ("Me", "me@example.org"), "Do it", "*" * 20),
        ("Do it\n\nBecause.\n", ("Me", "me@example.org"), "Do it", "Because."),
        ("", ("Me", "me@example.org"), "do it now", ""),
        (
            "Description: Do it\nAuthor: Just A Name\n",
            ("Just A Name", "unknown@invalid"),
            "Do it",
            "Author: Just A Name",
        ),
        (
            "From: mancha <m AT example DOT org>\nDate: Wed, 11 Feb 2015\nSubject: Do it\n\n",
            ("mancha", "m_AT_example_DOT_org"),
            "Do it",
            "",
        ),
        (
            "From: A <a@b>\nSubject: Do it\n\nFrom: C <c@d>\n\nTo there\nFrom here\n---\n x | 2\n",
            ("C", "c@d"),
            "Do it",
            "To there\nFrom here",
        ),
        (
            "Description: Do it\n From: here\n ---\n diff it\nFrom: A <a@b>\n",
            ("A", "a@b"),
            "Do it",
            " From: here\n ---\ndiff it",
        ),
        ("\ufeffDescription: Do\0 it\nFrom: A <a@b>\n", ("A", "a@b"), "Do it", ""),
        (
            "Description: =?UTF-8?q?=FF?=\nFrom: =?UTF-8?q?=FF?= <a@b>\n",
            ("= ?UTF-8?q?=FF?=", "a@b"),
            "= ?UTF-8?q?=FF?=",
            "",
        ),
        (
            "Description: Do it\nFrom: ... <a@b>\n",
            ("Me", "me@example.org"),
            "Do it",
            " From: ... <a@b>",
        ),
    ],
)
def test_other_headers(
    workshop: Workshop, head: str, author: tuple[str, str], subject: str, body: str
) -> None:
    workshop.put("01_do-it-now.dpatch", head + change("src/a.c", 3, "LINE 3"))
    workshop.put("series", "01_do-it-now.dpatch\n")
    ran = workshop.take(workshop.patches / "series")
    assert ran.code == 0, ran.err
    (patch,) = workshop.stored()
    header = patch.header
    assert (header.author, header.address) == author
    assert header.subject == subject
    assert header.body == body
    # git reads the patch as the tool does.
    git(workshop.upstream, "am", "--quiet", "--keep-cr", "-k", str(patch.path))
    said = git(workshop.upstream, "log", "-1", "--format=%an%n%ae%n%s%n%b").decode()
    assert said.strip("\n") == "\n".join([*author, subject, patch.header.body]).strip("\n")


@pytest.mark.parametrize(
    ("head", "stamp"),
    [
        ("Author: A <a@b>\nLast-Update: 2023-02-30\n---\n", ""),
        ("Author: A <a@b>\nDate: 2023-13-45\n---\n", ""),
        ("Author: A <a@b>\n---\n", "2023-99-45 10:00:00.0 +0000"),
        ("Author: A <a@b>\n---\n", "2023-09-05 10:00:00.0 +9999"),
        ("Author: A <a@b>\n---\n", "1969-12-31 00:00:00 +0000"),
        ("Author: A <a@b>\nDate: Sun, 01 Jan 1950 00:00:00 +0000\n---\n", ""),
    ],
)
def test_dates_that_do_not_exist(workshop: Workshop, head: str, stamp: str) -> None:
    diff = re.sub(r"(?m)^(\+\+\+ [^\t\n]*).*", rf"\1\t{stamp}", change("src/a.c", 3, "X"))
    workshop.put("series", "x.patch\n")
    workshop.put("x.patch", f"Description: Do it\n{head}{diff}")
    ran = workshop.take(workshop.patches / "series")
    assert (ran.code, "has no date: today" in ran.out) == (0, True), ran.err
    assert lint(workshop.project) == []


def test_latin_1(workshop: Workshop) -> None:
    head = "Description: Größe\nAuthor: Jürgen <j@example.org>\n\n".encode("latin-1")
    workshop.put("it.diff", head + change("src/a.c", 3, "LINE 3").encode())
    workshop.put("series", "it.diff")
    assert workshop.take(workshop.patches / "series").code == 0
    (patch,) = workshop.stored()
    assert (patch.header.author, patch.header.subject) == ("Jürgen", "Größe")


def test_every_kind_of_diff_gives_what_quilt_gives(workshop: Workshop) -> None:
    a, b = FILES["src/a.c"], FILES["src/b.c"]
    third = a.replace("line 3\n", "LINE 3\n")
    workshop.put("plain.patch", change("src/a.c", 3, "LINE 3"))
    workshop.put("p0.patch", change("src/b.c", 5, "ROW 5", before="", after=""))
    workshop.put(
        "index.patch",
        f"Index: prog-1.0/src/b.c\n{'=' * 67}\n"
        + plain("src/b.c", b.replace("row 5\n", "ROW 5\n"), b, before="p-1.orig/", after="p-1/"),
    )
    workshop.put("reversed.patch", plain("src/a.c", third.replace("line 9\n", "nine\n"), third))
    workshop.put("new.patch", plain("doc/new.txt", "", "one\ntwo\n"))
    workshop.put("gone.patch", plain("old.txt", FILES["old.txt"], ""))
    workshop.put("program.patch", change("tools/made.sh", 2, "echo it"))
    workshop.put("crlf.patch", change("dos.txt", 7, "SEVEN\r").encode())
    # Its context differs from the file, and so does its place.
    moved = "".join(LINES[10:]).replace("line 20\n", "line twenty\n")
    workshop.put("fuzz.patch", plain("src/a.c", moved, moved.replace("line 22\n", "LINE 22\n")))
    workshop.put(
        "context.patch",
        "*** a/src/a.c\n--- b/src/a.c\n***************\n*** 29,32 ****\n  line 29\n! line 30\n"
        "  line 31\n  line 32\n--- 29,32 ----\n  line 29\n! LINE 30\n  line 31\n  line 32\n",
    )
    workshop.put("git.patch", _git_diff(workshop))
    workshop.put("nothing.patch", "Nothing to see here\n")
    workshop.put(
        "series",
        "# a comment\nplain.patch\n\np0.patch -p0\nindex.patch  # undoes it\nreversed.patch -R\n"
        "new.patch\ngone.patch -p1\ncrlf.patch\nprogram.patch\nfuzz.patch\ncontext.patch\n"
        "git.patch\nnothing.patch\n",
    )
    ran = workshop.take(workshop.patches / "series")
    assert ran.code == 0, ran.err
    assert "left out, no changes:  nothing.patch" in ran.out
    assert "src/a.c: Hunk #1 succeeded at 19 with fuzz 2 (offset 10 lines)" in ran.out
    stored = workshop.stored()
    assert len(stored) == 11
    (workshop.patches / "nothing.patch").write_bytes(b"")
    files = workshop.quilted()
    assert workshop.applied() == files
    assert b"LINE 22\n" in files["src/a.c"][0]
    assert b"nine\n" in files["src/a.c"][0]
    # The way out: the patches are mails.
    git(workshop.upstream, "am", "--quiet", "--keep-cr", *(str(it.path) for it in stored))
    assert tree(workshop.upstream) == files


def _git_diff(workshop: Workshop) -> bytes:
    """A diff as git makes it, with a rename, a mode and an empty file."""
    git(workshop.upstream, "mv", "src/b.c", "src/c.c")
    (workshop.upstream / "tools" / "run.sh").chmod(0o755)
    (workshop.upstream / "empty").write_bytes(b"")
    git(workshop.upstream, "add", "--all")
    diff = git(workshop.upstream, "diff", "--cached", "--find-renames")
    git(workshop.upstream, "reset", "--quiet", "--hard")
    assert b"rename to src/c.c\n" in diff
    assert b"new mode 100755\n" in diff
    return diff


def test_on_top_of_what_is_there(workshop: Workshop) -> None:
    first = workshop.put("first.patch", change("src/a.c", 3, "LINE 3"))
    assert workshop.take(first, stack="one").code == 0
    second = FILES["src/a.c"].replace("line 3\n", "LINE 3\n")
    path = workshop.put(
        "second.patch", plain("src/a.c", second, second.replace("line 5\n", "LINE 5\n"))
    )
    assert workshop.take(path, stack="two").code == 0
    again = workshop.put("third.patch", change("src/b.c", 3, "ROW 3"))
    assert workshop.take(again, stack="two").code == 0
    names = [patch.name for patch in workshop.stored()]
    assert names == ["one/0001-first.patch", "two/0001-second.patch", "two/0002-third.patch"]
    ran = workshop.take(again, stack="one")
    assert (ran.code, "stack one is not the last one of the series" in ran.err) == (1, True)


def test_paragraphs_that_the_project_requires(workshop: Workshop) -> None:
    with (workshop.project / "upstream.toml").open("a") as file:
        file.write('Why = "Why?"\n')
    path = workshop.put("it.patch", change("src/a.c", 3, "LINE 3"))
    ran = workshop.take(path)
    assert ran.code == 1
    assert "headers lack paragraphs that the project requires:\n  it.patch: Why\n" in ran.err
    workshop.put("it.patch", "Description: It\nWhy: Because.\n" + change("src/a.c", 3, "LINE 3"))
    assert workshop.take(path).code == 0
    workshop.stored()


GOOD = change("src/a.c", 3, "LINE 3")
# Neither its first nor its last lines of context are there, so no fuzz helps.
CONFLICT = GOOD.replace(" line 2\n", " line two\n").replace(" line 4\n", " line four\n")
NEW = "diff --git a/x b/x\nnew file mode {}\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+src/a.c\n"
EXISTS = "  old.txt: the patch would create the file, which already exists\n"


@pytest.mark.parametrize(
    ("patch", "series", "message"),
    [
        (CONFLICT, "good.patch\nx.patch", "src/a.c: Hunk #1 FAILED at 1."),
        (GOOD.replace("a.c", "nowhere.c"), "x.patch", "can't find file to patch"),
        (NEW.format("100644").replace("b/x", "b/old.txt"), "x.patch", EXISTS),
        (plain("gone", "old\n", ""), "x.patch", "gone: the patch would delete the file, which "),
        (plain(".git/config", "", "[core]\n"), "x.patch", ".git/config"),
        (plain("../../x", "", "new\n"), "x.patch", "../../x"),
        (plain("link", "src/a.c", "src/b.c"), "x.patch", "changes link, which is a link"),
        (NEW.format("120000"), "x.patch", "makes x, which is not a regular file"),
        (NEW.format("160000"), "x.patch", "changes a submodule"),
        (NEW.format("100644") + "GIT binary patch\n", "x.patch", "by their own names"),
        ("1d\n!touch /tmp/never\n", "x.patch", "neither a unified nor a context diff"),
        ("Binary files a and b differ\n", "x.patch", "neither a unified nor a context diff"),
        (GOOD, "x.patch --fuzz=9", "series:1: option '--fuzz=9' is not supported"),
        (GOOD, "missing.patch", "missing.patch cannot be read: No such file"),
        (GOOD, "# nothing", "is neither a patch nor a list of patches"),
        ("\x1f\x8b packed", "x.patch", "x.patch is compressed"),
        (GOOD + "***************\n*** 1,2 ****\n", "x.patch", "mixes unified and context diffs"),
    ],
)
def test_refused(workshop: Workshop, patch: str, series: str, message: str) -> None:
    workshop.put("good.patch", change("src/b.c", 3, "ROW 3"))
    workshop.put("x.patch", patch.encode("latin-1"))
    workshop.put("series", f"{series}\n")
    before = contents(workshop.project)
    ran = workshop.take(workshop.patches / "series")
    assert (ran.code, message in ran.err) == (1, True), ran.err
    assert "Traceback" not in ran.err
    assert contents(workshop.project) == before


def test_without_gnu_patch(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.put("it.patch", GOOD)
    workshop.put("series", "it.patch")
    bare = workshop.folder / "bin"
    bare.mkdir()
    (bare / "git").symlink_to("/usr/bin/git")
    monkeypatch.setenv("PATH", str(bare))
    ran = workshop.take(workshop.patches / "series")
    assert (ran.code, "it.patch needs GNU patch, which was not found" in ran.err) == (1, True)
    # Others need it only for fuzz.
    assert workshop.take(workshop.patches / "it.patch").code == 0


def test_the_same_series_again(workshop: Workshop) -> None:
    workshop.put("fix.patch", change("src/a.c", 20, "new"))
    series = workshop.put("series", "fix.patch\n")
    pin = (workshop.project / "pinned_commit.txt").read_text()[:12]
    hint = f"Check that the pin of {workshop.project}, {pin}, is the version"
    workshop.put("bad.patch", change("src/a.c", 20, "new").replace("line 21", "another"))
    ran = workshop.take(workshop.patches / "bad.patch")
    assert (ran.code, hint in ran.err, "is this one of them?" in ran.err) == (1, True, False)
    assert workshop.take(series).code == 0
    ran = workshop.take(series)
    assert (ran.code, hint in ran.err, "is this one of them?" in ran.err) == (1, True, True)
