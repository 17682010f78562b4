"""Editing and rebasing a series write through no link, and lose no file and no resolution."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mfn_patcher.patching.draft import DraftError
from mfn_patcher.patching.edit import refresh
from mfn_patcher.patching.series import load_series
from mfn_patcher.patching.workspace import Workspace
from tests.support.repositories import commit, git
from tests.support.tool import Ran
from tests.support.toy import LINES, NEW, Toy, snapshot

PRECIOUS = "precious\n"


@pytest.mark.parametrize("place", ["patches/local", "patches/series", "pinned_commit.txt"])
def test_a_project_is_not_written_through_links(applied: Toy, place: str) -> None:
    toy = applied
    outside = toy.folder / "outside"
    (outside / "folder").mkdir(parents=True)
    where = toy.project / place
    if where.exists():
        where.rename(outside / "file")
        where.symlink_to(outside / "file")
    else:
        where.symlink_to(outside / "folder")
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    before = snapshot(toy.project), snapshot(outside), snapshot(toy.workspace)
    ran = toy("new", *NEW) if place != "pinned_commit.txt" else _rebase(toy)
    assert ran.code == 1
    assert str(where) in ran.err
    assert (snapshot(toy.project), snapshot(outside)) == before[:2]


def _rebase(toy: Toy) -> Ran:
    git(toy.workspace, "checkout", "--quiet", "src/a.py")
    toy.branch("newer")
    toy.write("new.txt", "x\n")
    commit(toy.upstream, "newer")
    return toy("rebase", "--onto", "newer")


def test_a_stray_file_in_the_place_of_a_new_patch(applied: Toy) -> None:
    toy = applied
    stray = toy.project / "patches" / "local" / "0001-mine.patch"
    stray.parent.mkdir()
    stray.write_text(PRECIOUS)
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    before = toy.patches(), toy.work_tree()
    ran = toy("new", *NEW)
    assert (ran.code, f"{stray} would be overwritten" in ran.err) == (1, True)
    assert (toy.patches(), toy.work_tree()) == before


def test_a_conflict_is_not_written_through_a_link(applied: Toy) -> None:
    toy = applied
    victim = toy.folder / "victim.txt"
    victim.write_text(PRECIOUS)
    before = toy.work_tree()
    toy.branch("newer")
    (toy.upstream / "src" / "a.py").unlink()
    (toy.upstream / "src" / "a.py").symlink_to(victim)
    commit(toy.upstream, "a link")
    ran = toy("rebase", "--onto", "newer")
    assert (ran.code, "it is now a link" in ran.err) == (1, True)
    assert victim.read_text() == PRECIOUS
    assert (toy.workspace / "src" / "a.py").readlink() == victim
    assert toy("rebase", "--abort").code == 0
    assert victim.read_text() == PRECIOUS
    assert toy.work_tree() == before


def test_a_link_to_a_folder_of_conflicts(applied: Toy) -> None:
    """Upstream turned the folder of a patched file into a link that leads out."""
    toy = applied
    outside = toy.folder / "outside"
    outside.mkdir()
    (outside / "a.py").write_text("".join(LINES))
    toy.branch("newer")
    shutil.rmtree(toy.upstream / "src")
    (toy.upstream / "src").symlink_to(outside)
    commit(toy.upstream, "a link")
    ran = toy("rebase", "--onto", "newer")
    assert ran.code == 1
    assert (outside / "a.py").read_text() == "".join(LINES)
    assert toy("status").code == 0
    assert (toy.workspace / "src" / "a.py").read_text().count("LINE 9\n") == 1


def test_decisions_are_saved_when_a_rebase_is_given_up(applied: Toy) -> None:
    toy = applied
    before = toy.work_tree()
    toy.branch("newer")
    toy.change("src/a.py", 9, "upstream's")
    commit(toy.upstream, "newer")
    assert toy("rebase", "--onto", "newer").code == 1
    shown = toy.work_tree()
    assert toy("rebase", "--abort").code == 0
    assert toy.work_tree() == before, "what we showed ourselves is not saved"
    assert toy("rebase", "--onto", "newer").code == 1
    assert toy.work_tree() == shown
    (toy.workspace / "src" / "a.py").write_text("my decision\n")
    ran = toy("rebase", "--abort")
    assert "saved your changes as" in ran.err
    (content,) = toy.saved().values()
    assert b"+my decision\n" in content
    shutil.rmtree(toy.workspace / "saved")
    assert toy.work_tree() == before


def test_another_command_has_changed_the_project(applied: Toy, tmp_path: Path) -> None:
    """Two workspaces of one project: the second command read the series before the first wrote."""
    toy = applied
    other = Workspace(tmp_path / "other")
    shutil.copytree(toy.workspace, other.path)
    read_before = load_series(toy.project)
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    assert toy("refresh").code == 0
    before = snapshot(toy.project)
    toy.change("src/b.py", 30, "others'", where=other.path)
    with pytest.raises(DraftError, match="changed while this command ran"):
        refresh(other, read_before, read_before.patches[0])
    assert snapshot(toy.project) == before


@pytest.fixture
def stopped(toy: Toy) -> Toy:
    """A rebase that conflicts in two patches, stopped at the first."""
    toy.change("src/b.py", 9, "LINE 9")
    toy.take("second/0001-b.patch")
    toy.branch("newer")
    for name in ("a", "b"):
        toy.change(f"src/{name}.py", 9, "theirs")
    commit(toy.upstream, "newer")
    assert toy("apply").code == 0
    assert "patch 1 of 2 conflicts" in toy("rebase", "--onto", "newer").err
    return toy


def test_earlier_resolutions_are_saved_when_a_rebase_is_given_up(stopped: Toy) -> None:
    toy = stopped
    (toy.workspace / "src" / "a.py").write_text("resolved\n")
    assert "patch 2 of 2 conflicts" in toy("rebase", "--continue").err
    ran = toy("rebase", "--abort")
    assert ran.code == 0
    (saved,) = git(toy.workspace, "for-each-ref", "--format=%(refname)").split()[-1:]
    assert saved.startswith(b"refs/mfn-patch/saved/")
    assert saved.decode() in ran.err
    assert git(toy.workspace, "show", f"{saved.decode()}:src/a.py") == b"resolved\n"


@pytest.mark.parametrize("instead", ["nothing", "folder", "link"])
def test_no_file_is_no_resolution(stopped: Toy, instead: str) -> None:
    toy = stopped
    file = toy.workspace / "src" / "a.py"
    file.unlink()
    if instead == "folder":
        file.mkdir()
    if instead == "link":
        file.symlink_to("b.py")
    before = toy.work_tree()
    ran = toy("rebase", "--continue")
    message = "only regular files" if instead == "link" else "run `git rm` to remove it"
    assert (ran.code, message in ran.err) == (1, True), ran.err
    assert "rebase --continue` again" in ran.err
    assert toy.work_tree() == before
    if instead == "folder":
        file.rmdir()
    git(toy.workspace, "rm", "--quiet", "--force", "src/a.py")
    assert "patch 2 of 2 conflicts" in toy("rebase", "--continue").err


def test_a_rebase_without_the_index(stopped: Toy) -> None:
    toy = stopped
    (toy.workspace / "src" / "a.py").write_text("resolved\n")
    (toy.workspace / ".git" / "index").unlink()
    for how in ("--continue", "--abort"):
        ran = toy("rebase", how)
        assert (ran.code, "reset`, and run the command again" in ran.err) == (1, True), ran.err
    git(toy.workspace, "reset", "--quiet")
    assert "patch 2 of 2 conflicts" in toy("rebase", "--continue").err
