"""A rebase can continue even if a patched file has become something else upstream."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mfn_patcher.patching.lint import lint
from tests.support.repositories import commit, git
from tests.support.toy import LINES, NEW, Toy

pytestmark = pytest.mark.long

FILE = "src/a.py"


@pytest.fixture
def toy(toy: Toy) -> Toy:
    """Two patches: one of ``src/a.py``, one of ``src/b.py``."""
    toy.change("src/b.py", 3, "second")
    toy.take("second/0001-b.patch")
    assert toy("apply").code == 0
    toy.branch("newer")
    return toy


def utf16(toy: Toy) -> None:
    (toy.upstream / FILE).write_bytes("".join(LINES).encode("utf-16"))
    commit(toy.upstream, "UTF-16")


def link(toy: Toy) -> None:
    (toy.upstream / FILE).unlink()
    (toy.upstream / FILE).symlink_to("b.py")
    commit(toy.upstream, "a link")


def submodule(toy: Toy) -> None:
    pin = git(toy.upstream, "rev-parse", "pin").decode().strip()
    git(toy.upstream, "rm", "--quiet", "--cached", FILE)
    (toy.upstream / FILE).unlink()
    git(toy.upstream, "update-index", "--add", "--cacheinfo", f"160000,{pin},{FILE}")
    git(toy.upstream, "commit", "--quiet", "--message", "a submodule")
    (toy.upstream / FILE).mkdir()


KINDS = [(utf16, "a binary file"), (link, "a link"), (submodule, "a submodule")]


@pytest.mark.parametrize(("change", "kind"), KINDS)
def test_upstreams_stays(toy: Toy, change: Callable[[Toy], None], kind: str) -> None:
    change(toy)
    wanted = git(toy.upstream, "ls-tree", "HEAD", FILE)
    stopped = toy("rebase", "--onto", "newer")
    assert stopped.code == 1
    assert f"{FILE}: first/0001-a.patch changes lines of it, but it is now {kind}" in stopped.err
    undecided = toy("rebase", "--continue")
    assert (undecided.code, f"{FILE}: run `git add`" in undecided.err) == (1, True)
    git(toy.workspace, "add", FILE)
    done = toy("rebase", "--continue")
    assert done.code == 0, done.err
    assert "dropped: first/0001-a.patch" in done.out
    assert lint(toy.project) == []
    assert toy("check").code == 0
    assert git(toy.workspace, "ls-tree", "HEAD", FILE) == wanted
    assert git(toy.workspace, "status", "--porcelain") == b""
    assert "Nothing to do" in toy("apply").out


@pytest.mark.parametrize(("change", "kind"), KINDS)
def test_given_up(toy: Toy, change: Callable[[Toy], None], kind: str) -> None:
    before = toy.work_tree(), toy.patches()
    change(toy)
    assert kind in toy("rebase", "--onto", "newer").err
    assert toy("rebase", "--abort").code == 0
    assert (toy.work_tree(), toy.patches()) == before
    assert "Nothing to do" in toy("apply").out


def test_a_binary_file_that_was_edited(toy: Toy) -> None:
    utf16(toy)
    assert toy("rebase", "--onto", "newer").code == 1
    mine = "mine\n".encode("utf-16")
    (toy.workspace / FILE).write_bytes(mine)
    git(toy.workspace, "add", FILE)
    ran = toy("rebase", "--continue")
    assert ran.code == 0, ran.err
    assert (toy.workspace / FILE).read_bytes() == mine
    assert b"\nGIT binary patch\n" in toy.patches()["patches/first/0001-a.patch"]
    assert lint(toy.project) == []
    assert toy("check").code == 0


@pytest.mark.parametrize("path", ["src/new", "src/new/deeper/x.py"])
def test_a_new_file_whose_place_is_taken(toy: Toy, path: str) -> None:
    """Upstream has a folder where the patch adds a file, or a file where it needs a folder."""
    mine = toy.workspace / path
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine\n")
    git(toy.workspace, "add", "--sparse", path)
    assert toy("new", *NEW).code == 0
    toy.write("src/new/x.py" if path == "src/new" else "src/new", "upstream's\n")
    commit(toy.upstream, "in the way")
    before = toy.work_tree(), toy.patches()
    ran = toy("rebase", "--onto", "newer")
    assert ran.code == 1
    blocking = "src/new/" if path == "src/new" else "src/new"
    assert f"{path}: local/0001-mine.patch adds it, but {blocking} is in the way" in ran.err
    assert "rename the file" in ran.err
    assert (toy.work_tree(), toy.patches()) == before
    assert "rebase" not in toy("status").out
    # The way on that the message names:
    git(toy.workspace, "mv", path, "src/other.py")
    assert toy("refresh", "local/0001").code == 0
    ran = toy("rebase", "--onto", "newer")
    assert ran.code == 0, ran.err
    assert (toy.workspace / "src" / "other.py").read_text() == "mine\n"
    assert toy("check").code == 0


def test_an_edit_that_looks_like_what_a_later_patch_changes(toy: Toy, tmp_path: Path) -> None:
    """The edit ends in the tree that was edited, or it is refused; it is never put elsewhere."""
    toy.branch("main")
    # The second patch of the file changes line 20; its context are lines 17 to 23.
    text = (toy.workspace / FILE).read_text().splitlines(keepends=True)
    (toy.workspace / FILE).write_text("".join([*text[:20], "changed\n", *text[21:]]))
    assert toy("new", *NEW).code == 0
    text = (toy.workspace / FILE).read_text().splitlines(keepends=True)
    # A copy of these lines as they were before, right where the patch says that they stand.
    edited = "".join([*text[:17], *LINES[17:24], *text[17:]])
    (toy.workspace / FILE).write_text(edited)
    before = toy.patches()
    ran = toy("refresh", "first/0001")
    assert (toy.workspace / FILE).read_text() == edited
    if ran.code:
        assert toy.patches() == before
        return
    shutil.rmtree(toy.workspace)
    assert toy("apply").code == 0
    assert (toy.workspace / FILE).read_text() == edited


def test_an_edit_that_undoes_a_later_patch_is_not_lost(toy: Toy) -> None:
    """In an earlier patch it would be no change, and the later patch would undo it again."""
    toy.branch("main")
    toy.change("src/b.py", 3, "line 3", where=toy.workspace)
    edited, before = toy.work_tree(), toy.patches()
    ran = toy("refresh", "first/0001")
    assert (ran.code, "would not give the edited files" in ran.err) == (1, True), ran.err
    assert (toy.work_tree(), toy.patches()) == (edited, before)


def test_a_conflict_beside_new_files_that_are_not_fetched(toy: Toy) -> None:
    """What the work tree does not show is neither fetched nor written when a patch stops."""
    toy.write("big/model.bin", "not needed\n")
    toy.change(FILE, 9, "upstream's")
    commit(toy.upstream, "newer")
    ran = toy("rebase", "--onto", "newer")
    assert (ran.code, "conflicts: first/0001-a.patch" in ran.err) == (1, True), ran.err
    assert not (toy.workspace / "big").exists()
    assert git(toy.workspace, "status", "--porcelain") == f"UU {FILE}\n".encode()
    (toy.workspace / FILE).write_text("decided\n")
    assert toy("rebase", "--continue").code == 0
    assert git(toy.workspace, "status", "--porcelain") == b""
    assert not (toy.workspace / "big").exists()


def test_a_mode_that_upstream_changed(toy: Toy) -> None:
    """The patch changes lines of the file, which keeps upstream's mode."""
    toy.branch("main")
    toy.write("README.md", "hello there\n")
    toy.change("src/b.py", 9, "third")
    toy.take("third/0001-both.patch")
    (toy.project / "patches" / "series").write_text("third/0001-both.patch\n")
    shutil.rmtree(toy.project / "patches" / "first")
    shutil.rmtree(toy.project / "patches" / "second")
    assert toy("apply").code == 0
    toy.branch("newer")
    (toy.upstream / "README.md").chmod(0o755)
    toy.change("src/b.py", 30, "upstream's")
    commit(toy.upstream, "a mode")
    ran = toy("rebase", "--onto", "newer")
    assert (ran.code, "written: " in ran.out) == (0, True), ran.err
    assert b"mode" not in toy.patches()["patches/third/0001-both.patch"]
    assert (toy.workspace / "README.md").stat().st_mode & 0o100
    assert (toy.workspace / "README.md").read_text() == "hello there\n"


def test_a_mode_that_a_later_patch_changes(toy: Toy) -> None:
    """Edits for an earlier patch do not take it along."""
    (toy.workspace / "README.md").chmod(0o755)
    assert toy("new", *NEW).code == 0
    (toy.workspace / "README.md").write_text("mine\n")
    ran = toy("refresh", "first/0001")
    assert ran.code == 0, ran.err
    assert b"mode" not in toy.patches()["patches/first/0001-a.patch"]
    assert b"new mode 100755" in toy.patches()["patches/local/0001-mine.patch"]
    assert toy("check").code == 0
