"""``refresh``: edits in a workspace become part of a patch."""

from __future__ import annotations

from pathlib import Path

from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.series import load_series
from tests.support.repositories import commit, edit, git
from tests.support.tool import Bench


def test_without_edits_nothing_changes(bench: Bench) -> None:
    before, head = bench.patches(), bench.head()
    ran = bench("refresh")
    assert (ran.code, ran.out.startswith("Nothing to do")) == (0, True)
    assert (bench.patches(), bench.head()) == (before, head)


def test_patches_of_other_files_stay(bench: Bench) -> None:
    before = bench.patches()
    edit(bench.workspace, "src/table.py", b"# filler 1\n", b"# mine\n")
    assert bench("refresh", "port/0002").code == 0
    after = bench.patches()
    series = load_series(bench.stand_in.project).patches
    touched = [patch.name for patch in series if "src/table.py" in patch.paths]
    own = touched.index("port/0002-items.patch")
    assert [name for name in after if after[name] != before[name]] == touched[own:]


def test_into_a_patch_in_the_middle(bench: Bench) -> None:
    before = bench.patches()
    edit(bench.workspace, "src/train.py", b"The rate of the last layer.", b"Its own rate.")
    made = bench.files()
    ran = bench("refresh", "fixes/0002")
    assert ran.code == 0, ran.err
    after = bench.patches()
    changed = {name for name in after if after[name] != before[name]}
    assert "fixes/0002-rate-of-the-last-layer.patch" in changed
    assert "fixes/0001-no-bias.patch" not in changed
    name = "fixes/0002-rate-of-the-last-layer.patch"
    assert b"Its own rate." in after[name]
    assert after[name].partition(b"\n---\n")[0] == before[name].partition(b"\n---\n")[0]
    assert lint(bench.stand_in.project) == []
    assert bench.files() == made
    assert git(bench.workspace, "status", "--porcelain") == b""
    assert "Nothing to do" in bench.apply().out


def test_the_refreshed_series_makes_the_edited_tree_elsewhere(bench: Bench, tmp_path: Path) -> None:
    edit(bench.workspace, "src/table.py", b".items()", b".entries()")
    commit(bench.workspace, "My change")
    (bench.workspace / "src" / "new.py").write_text("new\n")
    git(bench.workspace, "add", "src/new.py")
    made = bench.files()
    assert bench("refresh").code == 0
    bench.workspace = tmp_path / "elsewhere"
    assert bench.apply().code == 0
    assert bench.files() == made


def test_edits_that_a_later_patch_made_room_for(bench: Bench) -> None:
    before, made = bench.patches(), bench.files()
    edit(bench.workspace, "src/table.py", b".items()", b".entries()")
    ran = bench("refresh", "port/0001")
    assert ran.code == 1
    assert "change lines that a patch after port/0001-ranges.patch adds" in ran.err
    assert bench.patches() == before
    assert bench.files() != made, "the edit is still there"


def test_edits_that_undo_a_patch(bench: Bench) -> None:
    before = bench.patches()
    edit(bench.workspace, "src/table.py", b".items()", b".iteritems()")
    ran = bench("refresh", "port/0002")
    assert ran.code == 1
    assert "undo all changes of port/0002-items.patch" in ran.err
    assert bench.patches() == before


def test_the_series_must_be_applied(bench: Bench) -> None:
    bench.apply("--stack", "fixes")
    ran = bench("refresh")
    assert ran.code == 1
    assert "mfn-patch apply" in ran.err


def test_a_binary_file_and_a_mode(bench: Bench) -> None:
    (bench.workspace / "src" / "table.py").write_bytes(bytes(range(256)))
    (bench.workspace / "src" / "train.py").chmod(0o755)
    made = bench.files()
    ran = bench("refresh")
    assert ran.code == 0, ran.err
    assert b"\nGIT binary patch\n" in bench.patches()["port/0002-items.patch"]
    assert lint(bench.stand_in.project) == []
    assert bench.apply("--stack", "fixes").code == 0
    assert bench.apply().code == 0
    assert bench.files() == made
    assert (bench.workspace / "src" / "train.py").stat().st_mode & 0o100
