"""Files that mfn-patch did not write are saved, or the command is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repositories import commit, git
from tests.support.toy import Toy, snapshot

pytestmark = pytest.mark.long

PRECIOUS = "precious\n"


def file(place: Path) -> None:
    place.write_text(PRECIOUS)


def dangling_link(place: Path) -> None:
    place.symlink_to("nowhere")


def link_to_file(place: Path) -> None:
    outside = place.parents[2] / "outside.txt"
    outside.write_text(PRECIOUS)
    place.symlink_to(outside)


def link_to_folder(place: Path) -> None:
    outside = place.parents[2] / "outside"
    outside.mkdir()
    (outside / "model.params").write_text(PRECIOUS)
    place.symlink_to(outside)


def folder(place: Path) -> None:
    place.mkdir()
    (place / "mine.txt").write_text(PRECIOUS)


def folder_with_link(place: Path) -> None:
    place.mkdir()
    (place / "mine").symlink_to("nowhere")


def repository(place: Path) -> None:
    place.mkdir()
    git(place, "init", "--quiet")
    (place / "mine.txt").write_text(PRECIOUS)
    commit(place, "Mine")


def pipe(place: Path) -> None:
    os.mkfifo(place)


OBSTACLES: list[Callable[[Path], None]] = [
    file,
    dangling_link,
    link_to_file,
    link_to_folder,
    folder,
    folder_with_link,
    repository,
    pipe,
]


def assert_refused(toy: Toy, command: str, *options: str, name: str) -> None:
    """The command changes nothing, twice, and names what is in the way."""
    before, patches = snapshot(toy.workspace), toy.patches()
    outside = snapshot(toy.folder / "outside")
    head = git(toy.workspace, "rev-parse", "--revs-only", "HEAD")
    for _ in range(2):
        ran = toy(command, *options)
        assert (ran.code, f"  {name}\n" in ran.err) == (1, True), ran.err
        assert "Move them away" in ran.err
        assert snapshot(toy.workspace) == before
        assert snapshot(toy.folder / "outside") == outside
        assert toy.patches() == patches
        assert git(toy.workspace, "rev-parse", "--revs-only", "HEAD") == head
    assert toy("status").code == 0
    assert snapshot(toy.workspace) == before


def inside(kind: Callable[[Path], None], place: str) -> str:
    """The name by which an obstacle at `place` is refused."""
    names = {"folder": "/mine.txt", "folder_with_link": "/mine", "repository": "/.git/HEAD"}
    return place + names.get(kind.__name__, "")


@pytest.mark.parametrize("ignored", [False, True], ids=["untracked", "ignored"])
@pytest.mark.parametrize("kind", OBSTACLES)
def test_where_a_patch_puts_a_file(
    applied: Toy, kind: Callable[[Path], None], ignored: bool
) -> None:
    toy = applied
    toy.write("src/notes.py", "a patch's\n")
    toy.take("second/0001-notes.patch")
    kind(toy.workspace / "src" / "notes.py")
    if ignored:
        (toy.workspace / ".git" / "info" / "exclude").write_text("notes.py\n")
    assert_refused(toy, "apply", name=inside(kind, "src/notes.py"))
    obstacle = toy.workspace / "src" / "notes.py"
    obstacle.rename(toy.folder / "moved away")
    assert toy("apply").code == 0
    assert obstacle.read_text() == "a patch's\n"


@pytest.mark.parametrize("kind", [file, dangling_link, link_to_file, link_to_folder, pipe])
def test_where_a_patch_needs_a_folder(applied: Toy, kind: Callable[[Path], None]) -> None:
    toy = applied
    toy.write("src/notes/deep/x.py", "a patch's\n")
    toy.take("second/0001-notes.patch")
    kind(toy.workspace / "src" / "notes")
    assert_refused(toy, "apply", name="src/notes")
    (toy.workspace / "src" / "notes").unlink()
    assert toy("apply").code == 0
    assert (toy.workspace / "src" / "notes" / "deep" / "x.py").read_text() == "a patch's\n"


@pytest.mark.parametrize("kind", [file, dangling_link, link_to_file, link_to_folder, pipe])
def test_where_another_pin_needs_a_folder(applied: Toy, kind: Callable[[Path], None]) -> None:
    toy = applied
    toy.branch("newer")
    toy.write("models/keep.md", "upstream's\n")
    commit(toy.upstream, "newer")
    kind(toy.workspace / "models")
    assert_refused(toy, "rebase", "--onto", "newer", name="models")


@pytest.mark.parametrize("kind", OBSTACLES)
def test_where_another_pin_has_a_file(applied: Toy, kind: Callable[[Path], None]) -> None:
    toy = applied
    toy.branch("newer")
    toy.write("src/more.py", "upstream's\n")
    commit(toy.upstream, "newer")
    kind(toy.workspace / "src" / "more.py")
    assert_refused(toy, "rebase", "--onto", "newer", name=inside(kind, "src/more.py"))


@pytest.mark.parametrize("kind", OBSTACLES)
def test_where_a_conflict_is_to_be_shown(applied: Toy, kind: Callable[[Path], None]) -> None:
    toy = applied
    toy.branch("newer")
    toy.write("src/more.py", "upstream's\n")
    toy.change("src/a.py", 9, "upstream's")
    commit(toy.upstream, "newer")
    kind(toy.workspace / "src" / "more.py")
    assert_refused(toy, "rebase", "--onto", "newer", name=inside(kind, "src/more.py"))
    assert "rebase" not in toy("status").out


def test_an_equal_file_is_in_nobodys_way(applied: Toy) -> None:
    toy = applied
    toy.write("src/notes.py", "the same\n")
    toy.take("second/0001-notes.patch")
    (toy.workspace / "src" / "notes.py").write_text("the same\n")
    assert toy("apply").code == 0
    assert git(toy.workspace, "status", "--porcelain") == b""


def test_an_empty_folder_is_in_nobodys_way(applied: Toy) -> None:
    toy = applied
    toy.write("src/notes.py", "a patch's\n")
    toy.take("second/0001-notes.patch")
    (toy.workspace / "src" / "notes.py" / "empty").mkdir(parents=True)
    assert toy("apply").code == 0
    assert (toy.workspace / "src" / "notes.py").read_text() == "a patch's\n"


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_tracked_folder_that_became_a_link(applied: Toy, options: tuple[str, ...]) -> None:
    toy = applied
    shutil.move(toy.workspace / "src", toy.folder / "outside")
    (toy.workspace / "src").symlink_to(toy.folder / "outside")
    (toy.folder / "outside" / "a.py").write_text(PRECIOUS)
    before, outside = snapshot(toy.workspace), snapshot(toy.folder / "outside")
    toy.change("src/b.py", 3, "another")
    toy.take("second/0001-b.patch")
    ran = toy("apply", *options)
    assert ran.code == 1, ran.out
    assert "src" in ran.err
    found = [entry for entry in snapshot(toy.workspace) if not entry[0].startswith("saved")]
    assert (found, snapshot(toy.folder / "outside")) == (before, outside)


@pytest.mark.parametrize("bit", ["--assume-unchanged", "--skip-worktree"])
@pytest.mark.parametrize("options", [(), ("--force",)])
@pytest.mark.parametrize("path", ["src/b.py", "README.md"])
def test_an_edit_that_git_was_told_to_overlook(
    applied: Toy, bit: str, options: tuple[str, ...], path: str
) -> None:
    """Whether the move changes that file or not: git would undo the edit all the same."""
    toy = applied
    git(toy.workspace, "update-index", bit, path)
    mine = toy.workspace / path
    mine.write_text(PRECIOUS)
    toy.change("src/b.py", 3, "another")
    toy.take("second/0001-b.patch")
    ran = toy("apply", *options)
    assert (ran.code, path in ran.err) == (1, True), ran.err
    assert mine.read_text() == PRECIOUS


@pytest.mark.parametrize("command", [("apply",), ("rebase", "--onto", "newer")])
def test_a_hidden_edit_in_a_clone_of_the_users_own(toy: Toy, command: tuple[str, ...]) -> None:
    git(toy.folder, "clone", "--quiet", str(toy.upstream), str(toy.workspace))
    git(toy.workspace, "checkout", "--quiet", "pin")
    assert toy("apply").code == 0
    git(toy.workspace, "update-index", "--skip-worktree", "src/a.py")
    (toy.workspace / "src" / "a.py").write_text(PRECIOUS)
    if command[0] == "apply":
        toy.change("src/a.py", 30, "another")
        toy.take("second/0001-a.patch")
    else:
        toy.branch("newer")
        toy.change("src/a.py", 30, "upstream's")
        commit(toy.upstream, "newer")
    assert_refused(toy, *command, name="src/a.py")


def test_what_was_only_staged_is_kept(applied: Toy) -> None:
    toy = applied
    (toy.workspace / "src" / "staged.py").write_text(PRECIOUS)
    git(toy.workspace, "add", "src/staged.py")
    (toy.workspace / "src" / "staged.py").unlink()
    assert toy("revert", "--force").code == 0
    refs = git(toy.workspace, "for-each-ref", "--format=%(refname)", "refs/mfn-patch/saved")
    (index,) = [ref for ref in refs.decode().split() if ref.endswith("/index")]
    assert git(toy.workspace, "show", f"{index}:src/staged.py").decode() == PRECIOUS


def test_forced_twice_within_a_second(applied: Toy) -> None:
    toy = applied
    for number in range(3):
        toy.change("src/a.py", 30, f"mine {number}", where=toy.workspace)
        command = ("revert", "apply")[number % 2]
        assert toy(command, "--force").code == 0
        assert toy("apply").code == 0
    saved = toy.saved()
    assert len(saved) == 3
    for number in range(3):
        assert any(f"+mine {number}\n".encode() in content for content in saved.values())


def test_force_with_nothing_to_do_saves_edits_too(applied: Toy) -> None:
    toy = applied
    before = toy.work_tree()
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    assert "Saved your changes as" in toy("apply", "--force").out
    (content,) = toy.saved().values()
    assert b"+mine\n" in content
    shutil.rmtree(toy.workspace / "saved")
    assert toy.work_tree() == before


@pytest.mark.parametrize("git_dir", ["empty", "HEAD", "git init", "a failed apply"])
def test_a_first_apply_over_files_of_the_users(toy: Toy, git_dir: str) -> None:
    toy.workspace.mkdir()
    if git_dir == "git init":
        git(toy.workspace, "init", "--quiet")
    elif git_dir == "a failed apply":
        failed = toy.tool(
            "apply", "-w", toy.workspace, "--project", toy.project, "--upstream", "/no"
        )
        assert failed.code == 1
    else:
        (toy.workspace / ".git").mkdir()
        if git_dir == "HEAD":
            (toy.workspace / ".git" / "HEAD").write_text("ref: refs/heads/mfn-patch\n")
    (toy.workspace / "src").mkdir()
    (toy.workspace / "src" / "a.py").write_text(PRECIOUS)
    (toy.workspace / "README.md").write_text("hello\n")
    (toy.workspace / "notes.txt").write_text(PRECIOUS)
    before = snapshot(toy.workspace)
    for _ in range(2):
        ran = toy("apply")
        assert (ran.code, "  src/a.py\n" in ran.err, "README" in ran.err) == (1, True, False)
        assert snapshot(toy.workspace) == before
    (toy.workspace / "src" / "a.py").unlink()
    assert toy("apply").code == 0
    assert (toy.workspace / "notes.txt").read_text() == PRECIOUS


def test_staged_files_without_a_commit(toy: Toy) -> None:
    toy.workspace.mkdir()
    git(toy.workspace, "init", "--quiet")
    (toy.workspace / "thesis.tex").write_text(PRECIOUS)
    git(toy.workspace, "add", "thesis.tex")
    ran = toy("apply")
    assert (ran.code, "staged files but no commit" in ran.err) == (1, True)
    assert git(toy.workspace, "show", ":thesis.tex").decode() == PRECIOUS


@pytest.mark.parametrize("kind", OBSTACLES)
def test_a_clone_of_the_users_own(toy: Toy, kind: Callable[[Path], None]) -> None:
    """The second command must not do what the first refused."""
    git(toy.folder, "clone", "--quiet", str(toy.upstream), str(toy.workspace))
    git(toy.workspace, "checkout", "--quiet", "pin")
    toy.write("src/notes.py", "a patch's\n")
    toy.take("second/0001-notes.patch")
    (toy.workspace / ".git" / "info" / "exclude").write_text("notes.py\n")
    kind(toy.workspace / "src" / "notes.py")
    assert_refused(toy, "apply", name=inside(kind, "src/notes.py"))
    refused = toy("revert")
    assert (refused.code, "nothing has been applied" in refused.err) == (1, True)
    assert not (toy.workspace / ".git" / "mfn-patch" / "transaction.json").exists()


def clone_with_submodule(toy: Toy) -> None:
    """Pin a commit with the submodule ``sub``, and clone both as a user would."""
    other = toy.folder / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    (other / "s").write_text("s\n")
    commit(other, "A submodule")
    allowed = ("-c", "protocol.file.allow=always")
    toy.branch("main")
    git(toy.upstream, *allowed, "submodule", "--quiet", "add", str(other), "sub")
    pin = commit(toy.upstream, "With a submodule")
    (toy.project / "pinned_commit.txt").write_text(f"{pin}\n")
    how = ("clone", "--quiet", "--recurse-submodules", str(toy.upstream), str(toy.workspace))
    git(toy.folder, *allowed, *how)
    assert (toy.workspace / "sub" / "s").exists()


def test_a_filled_submodule_that_becomes_a_file(toy: Toy) -> None:
    clone_with_submodule(toy)
    assert toy("apply").code == 0
    (toy.workspace / "sub" / "mine.txt").write_text(PRECIOUS)
    toy.branch("newer")
    shutil.rmtree(toy.upstream / "sub")
    toy.write("sub", "a file\n")
    commit(toy.upstream, "newer")
    ran = toy("rebase", "--onto", "newer")
    assert ran.code == 1
    assert (toy.workspace / "sub" / "mine.txt").read_text() == PRECIOUS


def test_another_spelling_where_case_does_not_count(applied: Toy) -> None:
    """As on macOS: the file system has one file for both names, and git knows only one of them."""
    toy = applied
    git(toy.workspace, "config", "core.ignorecase", "true")
    git(toy.upstream, "mv", "README.md", "readme.md")
    (toy.project / "pinned_commit.txt").write_text(commit(toy.upstream, "renamed"))
    toy.workspace.joinpath("README.md").rename(toy.workspace / "readme.md")
    toy.workspace.joinpath("README.md").hardlink_to(toy.workspace / "readme.md")
    toy.project.joinpath("patches", "series").write_text("")
    shutil.rmtree(toy.project / "patches" / "first")
    assert toy("apply").code == 0
    assert (toy.workspace / "readme.md").read_text() == "hello\n"


def test_a_patch_of_the_spelling_where_case_does_not_count(toy: Toy) -> None:
    """It gives the same commit as elsewhere."""
    git(toy.upstream, "mv", "README.md", "readme.md")
    toy.take("second/0001-spelling.patch")
    commits = []
    for ignores in ("false", "true"):
        assert toy("apply", "--stack", "first").code == 0
        git(toy.workspace, "config", "core.ignorecase", ignores)
        assert toy("apply").code == 0
        commits.append(git(toy.workspace, "rev-parse", "HEAD"))
        assert (toy.workspace / "readme.md").read_text() == "hello\n"
        shutil.rmtree(toy.workspace)
    assert commits[0] == commits[1]


def test_two_spellings_where_case_does_not_count(toy: Toy) -> None:
    toy.write("readme.md", "another\n")
    toy.take("second/0001-another.patch")
    assert toy("apply", "--stack", "first").code == 0
    git(toy.workspace, "config", "core.ignorecase", "true")
    before = toy.work_tree()
    ran = toy("apply")
    assert (ran.code, "takes README.md and readme.md for one file" in ran.err) == (1, True), ran.err
    assert toy.work_tree() == before
    assert "Nothing to do" in toy("apply", "--stack", "first").out


def test_the_folder_of_saved_files_is_a_link(applied: Toy) -> None:
    toy = applied
    (toy.folder / "outside").mkdir()
    (toy.workspace / "saved").symlink_to(toy.folder / "outside")
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    ran = toy("revert", "--force")
    assert (ran.code, "saved: it is not a real folder" in ran.err) == (1, True)
    assert list((toy.folder / "outside").iterdir()) == []
    assert "mine\n" in (toy.workspace / "src" / "a.py").read_text()


def test_a_missing_file_is_brought_back(applied: Toy) -> None:
    toy = applied
    before = toy.work_tree()
    (toy.workspace / "src" / "a.py").unlink()
    toy.change("src/b.py", 3, "mine", where=toy.workspace)
    ran = toy("apply")
    assert (ran.code, ran.out) == (0, "restored: src/a.py\n")
    mine = toy.work_tree()
    assert mine.pop("src/a.py") == before["src/a.py"]
    assert b"mine\n" in bytes(mine["src/b.py"])  # type: ignore[arg-type]


def test_a_file_whose_removal_was_staged_stays_away(applied: Toy) -> None:
    toy = applied
    git(toy.workspace, "rm", "--quiet", "src/a.py")
    assert "Nothing to do" in toy("apply").out
    assert not (toy.workspace / "src" / "a.py").exists()


def test_nothing_is_brought_back_through_a_link(applied: Toy) -> None:
    toy = applied
    shutil.rmtree(toy.workspace / "src")
    (toy.folder / "outside").mkdir()
    (toy.workspace / "src").symlink_to(toy.folder / "outside")
    assert toy("apply").code == 0
    assert list((toy.folder / "outside").iterdir()) == []
    assert (toy.workspace / "src").is_symlink()


def test_files_in_a_submodule_are_no_edits(toy: Toy) -> None:
    clone_with_submodule(toy)
    (toy.workspace / "sub" / "built").write_text("untracked\n")
    (toy.workspace / "sub" / "s").write_text("changed\n")
    assert toy("apply").code == 0
    assert "edited" not in toy("status").out
    assert toy("revert").code == 0
    assert (toy.workspace / "sub" / "s").read_text() == "changed\n"
    git(toy.workspace / "sub", "checkout", "--quiet", "--orphan", "mine")
    commit(toy.workspace / "sub", "Another commit")
    assert "edited   sub" in toy("status").out
