"""Attributes of upstream change no byte on the way to the work tree and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.patching.series import load_series
from tests.support.repositories import DIFF, git, write_project, write_upstream
from tests.support.tool import Tool
from tests.support.toy import Toy

pytestmark = pytest.mark.long

LINES = b"".join(b"line %d $Id$\n" % number for number in range(40))
FILE = "src/a.py"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    "attributes",
    [
        "*.py text eol=lf",
        "*.py text eol=crlf",
        "* text=auto",
        "*.py crlf",
        "*.py ident",
        "*.py binary",
        "*.py -diff",
        "*.py working-tree-encoding=UTF-16LE",
        "*.py filter=loud",
        "*.py merge=binary",
    ],
)
def test_attributes(
    tool: Tool, tmp_path: Path, hermetic: Path, attributes: str, end: bytes
) -> None:
    with (hermetic / ".gitconfig").open("a") as settings:
        settings.write('[filter "loud"]\n\tclean = tr a-z A-Z\n\tsmudge = tr A-Z a-z\n')
    upstream, project, workspace = (tmp_path / name for name in ("up", "project", "workspace"))
    old = LINES.replace(b"\n", end)
    new = old.replace(b"line 9 ", b"LINE 9 ")
    (upstream / "src").mkdir(parents=True)
    git(upstream, "init", "--quiet", "--initial-branch=master")
    (upstream / "README.md").write_text("hello\n")
    blobs = [
        git(upstream, "hash-object", "-w", "--stdin", stdin=text).decode().strip()
        for text in (old, new)
    ]
    stage(upstream, blobs[0])
    pin = commit_index(upstream)
    stage(upstream, blobs[1])
    diff = git(upstream, *DIFF, "--cached", "--text", pin)
    write_project(project, pin, [diff])
    # The files are as they were meant; what upstream says of them came with the pin.
    for folder in (upstream, upstream / "src"):
        (folder / ".gitattributes").write_text(f"{attributes}\n")
    git(upstream, "read-tree", pin)
    git(upstream, "add", ".gitattributes", "src/.gitattributes")
    pin = commit_index(upstream)
    (project / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(project)
    places = ("-w", workspace, "--project", project)

    ran = tool("apply", *places, "--upstream", upstream)
    assert ran.code == 0, ran.err
    file = workspace / FILE
    assert file.read_bytes() == new
    assert "edited" not in tool("status", *places).out
    file.write_bytes(new.replace(b"line 20 ", b"LINE 20 "))
    ran = tool("refresh", *places)
    assert ran.code == 0, ran.err
    (patch,) = load_series(project).patches
    assert [len(hunk.source) for hunk in patch.files[0].hunks] == [7, 7]
    assert file.read_bytes() == new.replace(b"line 20 ", b"LINE 20 ")
    assert "edited" not in tool("status", *places).out
    assert tool("check", "--project", project, "--upstream", upstream).code == 0
    (upstream / "README.md").write_text("newer\n")
    git(upstream, "read-tree", pin)
    git(upstream, "add", "README.md")
    newer = commit_index(upstream)
    ran = tool("rebase", *places, "--upstream", upstream, "--onto", newer)
    assert ran.code == 0, ran.err
    assert tool("revert", "-w", workspace).code == 0
    assert file.read_bytes() == old


def stage(upstream: Path, blob: str) -> None:
    git(upstream, "add", "README.md")
    git(upstream, "update-index", "--add", "--cacheinfo", f"100644,{blob},{FILE}")


def commit_index(upstream: Path) -> str:
    git(upstream, "commit", "--quiet", "--allow-empty", "--message", "A revision")
    return git(upstream, "rev-parse", "HEAD").decode().strip()


def test_line_ends_in_a_clone_of_the_users_own(toy: Toy, hermetic: Path) -> None:
    with (hermetic / ".gitconfig").open("a") as settings:
        settings.write("[core]\n\tautocrlf = true\n\tsafecrlf = true\n")
    git(toy.folder, "clone", "--quiet", str(toy.upstream), str(toy.workspace))
    file = toy.workspace / "src" / "a.py"
    assert b"\r\n" in file.read_bytes()
    for _ in range(2):
        assert toy("apply").code == 0
        assert "edited" not in toy("status").out
        file.touch()
    file.write_bytes(file.read_bytes().replace(b"line 10\r\n", b"mine\r\n"))
    assert toy("refresh").code == 0
    assert b"\r" not in toy.patches()["patches/first/0001-a.patch"]
    assert toy("check").code == 0


@pytest.mark.parametrize("attributes", ["*.py -diff", "* binary", "*.py diff=odd"])
def test_patches_do_not_depend_on_attributes(toy: Toy, hermetic: Path, attributes: str) -> None:
    with (hermetic / ".gitconfig").open("a") as settings:
        settings.write('[diff "odd"]\n\tbinary = true\n\txfuncname = ^.*8$\n')
    for folder in ("own", "workspace"):
        git(toy.folder, "clone", "--quiet", str(toy.upstream), folder)
    (toy.workspace / ".git" / "info" / "attributes").write_text(f"{attributes}\n")
    assert toy("apply").code == 0
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    toy.change("src/a.py", 30, "mine", where=toy.folder / "own")
    assert toy("refresh").code == 0
    patch = toy.patches()["patches/first/0001-a.patch"]
    assert patch.endswith(git(toy.folder / "own", *DIFF, "pin"))


def test_a_filter_whose_program_is_missing(toy: Toy, hermetic: Path) -> None:
    with (hermetic / ".gitconfig").open("a") as settings:
        settings.write('[filter "f"]\n\tclean = no-such-program\n\trequired = true\n')
    git(toy.folder, "clone", "--quiet", str(toy.upstream), str(toy.workspace))
    (toy.workspace / ".git" / "info" / "attributes").write_text("*.py filter=f\n")
    (toy.workspace / "src" / "a.py").touch()
    ran = toy("apply")
    assert (ran.code, "Install the program of this filter" in ran.err) == (1, True), ran.err
