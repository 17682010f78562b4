"""Mails and branches become patches that give git's tree, with git's authors, dates and texts."""

from __future__ import annotations

import base64
import quopri
import random
from pathlib import Path

import pytest

from tests.patching.importing.conftest import FILES, Workshop, change, needs_gnu_patch, plain
from tests.support.repositories import edit, git

pytestmark = pytest.mark.long

_AUTHOR = ("-c", "user.name=Zoë Ö", "-c", "user.email=zoe@example.org")


def _commit(folder: Path, message: str, date: str) -> None:
    git(folder, "add", "--all")
    git(folder, *_AUTHOR, "commit", "--quiet", "--allow-empty", f"--date={date}", "-m", message)


@pytest.fixture
def branch(workshop: Workshop) -> Workshop:
    """A branch of four commits, one of which has no changes."""
    place = workshop.upstream
    git(place, "checkout", "--quiet", "-b", "mine")
    edit(place, "src/a.c", b"line 3\n", "Größe\n".encode())
    edit(place, "dos.txt", b"line 3\r\n", b"LINE 3\r\n")
    long = "A subject of more than seventy-two characters, with Größe, that a mail has to fold"
    _commit(place, f"{long}\n\nThe reason.\n\nWhy: it is needed\n", "2011-02-03T04:05:06-0130")
    _commit(place, "Nothing", "2011-02-03T04:05:07Z")
    git(place, "mv", "src/b.c", "src/c.c")
    (place / "tools" / "run.sh").chmod(0o755)
    (place / "pkg").mkdir()
    (place / "pkg" / "__init__.py").write_bytes(b"")
    (place / "icon.png").write_bytes(random.Random(1).randbytes(3000))
    _commit(place, "[pkg] Add the package", "2011-02-03T04:05:08Z")
    (place / "old.txt").unlink()
    edit(place, "src/c.c", b"row 9\n", b"ROW 9\n")
    _commit(place, "Remove it.", "2011-02-03T04:05:09Z")
    git(place, "checkout", "--quiet", "trunk")
    return workshop


FORM = "--format=%an %ae %ai%n%s%n%T"


def _check(workshop: Workshop) -> None:
    """Check that the applied series has the authors, dates, subjects and trees of the branch."""
    workshop.stored()
    workshop.applied()
    pin = git(workshop.upstream, "rev-parse", "pin").decode().strip()
    wanted = git(workshop.upstream, "log", FORM, "pin..mine").decode().split("\n")
    found = git(workshop.folder / "workspace", "log", FORM, f"{pin}..HEAD").decode().split("\n")
    empty = wanted.index("Nothing")
    del wanted[empty - 1 : empty + 2]
    assert found == wanted
    body = workshop.stored()[0].header.body
    assert body == "The reason.\n\nWhy: it is needed"


@pytest.fixture
def hostile(hermetic: Path) -> None:
    """Settings of a user that change what `git format-patch` and `git mailinfo` do."""
    with (hermetic / ".gitconfig").open("a") as file:
        file.write(
            "[format]\n\tattach = x\n\tpretty = oneline\n\tnoprefix = true\n\tnumbered = true\n"
            "\tsubjectPrefix = FIX\n\tsignature = me\n\tto = a@b\n\theaders = X-A: b\n"
            "\tcoverLetter = true\n\tuseAutoBase = true\n\tnotes = true\n\tsignOff = true\n"
            "\tthread = deep\n\toutputDirectory = /nowhere\n[diff]\n\trenames = copies\n"
            "\tnoprefix = true\n[mailinfo]\n\tscissors = true\n[core]\n\tautocrlf = true\n"
            "[apply]\n\twhitespace = error\n"
        )


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("bare", [False, True])
def test_a_branch(branch: Workshop, bare: bool) -> None:
    clone = branch.upstream
    if bare:
        clone = branch.folder / "bare.git"
        git(branch.folder, "clone", "--quiet", "--bare", str(branch.upstream), str(clone))
    ran = branch.take(clone, "--branch", "pin..mine", stack="mine")
    assert ran.code == 0, ran.err
    assert "left out, no changes:" in ran.out
    assert "mine/0002-pkg-add-the-package.patch" in ran.out
    _check(branch)


@pytest.mark.parametrize("clone", ["upstream", "upstream/.git", "bare.git", "linked"])
def test_a_relative_path(branch: Workshop, clone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    git(branch.folder, "clone", "--quiet", "--bare", "upstream", "bare.git")
    git(branch.upstream, "worktree", "add", "--quiet", "--detach", "../linked")
    monkeypatch.chdir(branch.folder)
    ran = branch.take(clone, "--branch", "pin..mine", stack="mine")
    assert ran.code == 0, ran.err
    _check(branch)


def test_a_binary_file_without_its_content(workshop: Workshop) -> None:
    text = "diff --git a/x.bin b/x.bin\nnew file mode 100644\nindex 0000000..1234567\n"
    text += "Binary files /dev/null and b/x.bin differ\n"
    one = workshop.put("it.diff", change("src/a.c", 3, "LINE 3") + text)
    ran = workshop.take(one)
    assert (ran.code, "lacks the content of a binary file" in ran.err) == (1, True), ran.err
    assert "`git diff --binary`" in ran.err
    workshop.put("series", "it.diff\n")
    ran = workshop.take(workshop.patches / "series")
    assert (ran.code, "content not imported: Binary files /dev" in ran.out) == (0, True), ran.err


def test_a_diff_with_the_colours_of_a_terminal(workshop: Workshop) -> None:
    one = workshop.put("it.diff", "\x1b[1mdiff --git a/src/a.c b/src/a.c\x1b[m\n")
    ran = workshop.take(one)
    assert (ran.code, "`git diff --no-color`" in ran.err) == (1, True), ran.err


def test_a_mail_in_latin_1_that_does_not_say_so(workshop: Workshop) -> None:
    head = (
        "From: Jürgen <j@b>\nSubject: Größe\nDate: Tue, 24 Nov 2026 00:00:00 +0000\n\nÄrger\n---\n"
    )
    box = workshop.put("it.mbox", head.encode("latin-1") + change("src/a.c", 3, "LINE 3").encode())
    assert workshop.take(box).code == 0
    header = workshop.stored()[0].header
    assert (header.author, header.subject, header.body) == ("Jürgen", "Größe", "Ärger")


def test_a_commit_without_a_message(workshop: Workshop) -> None:
    place = workshop.upstream
    git(place, "checkout", "--quiet", "-b", "mine")
    edit(place, "src/a.c", b"line 3\n", b"LINE 3\n")
    git(place, "commit", "--quiet", "--all", "--allow-empty-message", "--message", "")
    ran = workshop.take(place, "--branch", "pin..mine", stack="mine")
    assert (ran.code, "has no subject: pin..mine" in ran.out) == (0, True), ran.err
    assert workshop.stored()[0].header.subject == "pin..mine"


@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable", "CRLF"])
@pytest.mark.parametrize("together", [True, False])
def test_mails(branch: Workshop, encoding: str, together: bool) -> None:
    place = branch.folder / "mails"
    how = ("--output-directory", str(place), "--binary", "--find-renames", "--encode-email-headers")
    git(branch.upstream, "format-patch", "--quiet", *how, "pin..mine")
    mails = sorted(place.iterdir())
    for mail in mails:
        if encoding != "8bit" and mail.stat().st_size:  # an empty commit makes an empty file
            mail.write_bytes(_encoded(mail.read_bytes(), encoding))
    if together:
        box = branch.put("box.mbox", b"".join(mail.read_bytes() for mail in mails))
        ran = branch.take(box)
    else:
        ran = branch.take(*mails)
    assert ran.code == 0, ran.err
    _check(branch)


def _encoded(mail: bytes, encoding: str) -> bytes:
    """Return a mail whose body is encoded for its transport, as many hosts send it."""
    if encoding == "CRLF":
        return mail.replace(b"\n", b"\r\n")
    head, _, body = mail.partition(b"\n\n")
    lines = [
        line
        for line in head.split(b"\n")
        if not line.startswith((b"MIME", b"Content-Transfer", b"Content-Type"))
    ]
    if encoding == "base64":
        body = base64.encodebytes(body)
    else:  # quopri drops a carriage return at the end of a line
        body = quopri.encodestring(body.replace(b"\r\n", b"CR\n")).replace(b"CR\n", b"=0D\n")
    kind = b"MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
    transfer = b"Content-Transfer-Encoding: " + encoding.encode() + b"\n\n"
    return b"\n".join(lines) + b"\n" + kind + transfer + body + b"\n"


def test_a_plain_diff(workshop: Workshop) -> None:
    one = workshop.put("fix.diff", change("src/a.c", 3, "LINE 3", before="", after=""))
    ran = workshop.take(one)
    assert (ran.code, "a.c: No such file" in ran.err) == (1, True), ran.err
    ran = workshop.take(one, "-p", "0")
    assert ran.code == 0, ran.err
    assert "names no author: Me <me@example.org>" in ran.out


@needs_gnu_patch
def test_a_plain_diff_with_fuzz(workshop: Workshop) -> None:
    """git knows no fuzz, GNU patch does."""
    text = FILES["src/b.c"].replace("row 20\n", "row twenty\n")
    one = workshop.put("fuzz.diff", plain("src/b.c", text, text.replace("row 22\n", "ROW 22\n")))
    ran = workshop.take(one)
    assert ran.code == 0, ran.err
    assert "src/b.c: Hunk #1 succeeded at 19 with fuzz 2" in ran.out
    (patch,) = workshop.stored()
    assert b" row 20\n" in patch.data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("upstream", "--branch", "pin..nowhere"), "has no commits 'pin..nowhere'"),
        (("upstream", "--branch", "mine"), "has no commits 'mine'"),
        (("upstream", "--branch", "pin..merged"), "pin..merged contains merges"),
        (("project", "--branch", "pin..mine"), "is not a git repository"),
        (("upstream",), "has no file `series`"),
    ],
)
def test_branches_that_are_refused(
    branch: Workshop, arguments: tuple[str, ...], message: str
) -> None:
    git(branch.upstream, "checkout", "--quiet", "-b", "merged", "pin")
    _commit(branch.upstream, "Another", "2011-02-03T04:05:10Z")
    git(branch.upstream, "merge", "--quiet", "--no-edit", "mine")
    ran = branch.take(branch.folder / arguments[0], *arguments[1:])
    assert (ran.code, message in ran.err) == (1, True), ran.err
    two = branch.take(branch.upstream, branch.upstream, "--branch", "pin..mine")
    assert (two.code, "--branch takes a single clone" in two.err) == (2, True)


def test_who_git_says(workshop: Workshop, hermetic: Path) -> None:
    path = workshop.put("fix.diff", change("src/a.c", 3, "LINE 3"))
    command = ("import", path, "--stack", "s", "--project", workshop.project)
    ran = workshop.tool(*command)
    assert (ran.code, "git has no name and address for you" in ran.err) == (1, True), ran.err
    with (hermetic / ".gitconfig").open("a") as file:
        file.write("[user]\n\tname = Zoë Ö\n\temail = zoe@example.invalid\n")
    assert workshop.tool(*command).code == 0
    assert workshop.stored()[0].header.author == "Zoë Ö"
