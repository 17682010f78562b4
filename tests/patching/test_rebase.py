"""``rebase``: a series moves to another commit of upstream, with conflicts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.patching import draft
from mfn_patcher.patching.lint import lint
from tests.support.repositories import commit, edit, git
from tests.support.tool import Bench, validated
from tests.support.toy_series import ITEMS, NO_BIAS, RANGES, RATES, TABLE

pytestmark = pytest.mark.long


def conflict(bench: Bench) -> str:
    """Give upstream a commit that one patch does not fit, and another that does; return it."""
    edit(bench.stand_in.upstream, TABLE, b".iteritems():", b".iteritems():  # sorted")
    edit(bench.stand_in.upstream, "src/train.py", b"# filler 1\n", b"# filler 1\n# one more\n")
    return commit(bench.stand_in.upstream, "Newer")


def state(bench: Bench) -> tuple[Any, ...]:
    refs = git(bench.workspace, "for-each-ref", "--format=%(refname) %(objectname)")
    index = git(bench.workspace, "ls-files", "--stage")
    return bench.files(), refs, index, git(bench.workspace, "symbolic-ref", "HEAD")


def test_what_fits_is_carried_at_once(bench: Bench) -> None:
    edit(bench.stand_in.upstream, "src/train.py", b"# filler 1\n", b"# filler 1\n# one more\n")
    onto = commit(bench.stand_in.upstream, "Newer")
    ran = bench("rebase", "--onto", "upstream")
    assert ran.code == 0, ran.err
    assert bench.project()["pinned_commit.txt"] == f"{onto}\n".encode()
    assert bench("check").code == 0
    assert lint(bench.stand_in.project) == []
    assert "Nothing to do" in bench.apply().out
    assert b"# one more" in (bench.workspace / "src/train.py").read_bytes()
    written = [line.split("patches/")[1] for line in ran.out.splitlines() if "written" in line]
    assert "fixes/0001-no-bias.patch" in written
    assert "port/0002-items.patch" not in written, "its files are as they were"


def test_to_the_same_pin(bench: Bench) -> None:
    before = bench.project(), state(bench)
    ran = bench("rebase", "--onto", bench.stand_in.pin)
    assert (ran.code, ran.out.startswith("Nothing to do")) == (0, True)
    assert (bench.project(), state(bench)) == before


def test_a_conflict_is_shown_mended_and_carried_on(bench: Bench) -> None:
    onto = conflict(bench)
    before = bench.project()
    stopped = bench("rebase", "--onto", onto[:10])
    assert stopped.code == 1
    assert "port/0002-items.patch" in stopped.err
    assert TABLE in stopped.err
    assert bench.project() == before, "nothing in the project changes before the end"
    file = bench.workspace / TABLE
    shown = file.read_bytes()
    assert shown.count(b"<<<<<<< upstream at ") == 1
    assert shown.count(b">>>>>>> port/0002-items.patch") == 1
    assert git(bench.workspace, "diff", "--name-only", "--diff-filter=U").decode().split() == [
        TABLE
    ]
    assert validated("status", bench("status", "--json").out)["rebasing"] == onto

    undecided = bench("rebase", "--continue")
    assert undecided.code == 1
    assert "conflict marker" in undecided.err
    assert file.read_bytes() == shown

    head, _, rest = shown.partition(b"<<<<<<< ")
    tail = rest.partition(b">>>>>>> ")[2].partition(b"\n")[2]
    ours = rest.partition(b"\n")[2].partition(b"=======\n")[0]
    file.write_bytes(head + ours.replace(b".iteritems()", b".items()") + tail)
    done = bench("rebase", "--continue")
    assert done.code == 0, done.err
    assert bench("check").code == 0
    assert "Nothing to do" in bench.apply().out
    assert b".items():  # sorted" in bench.project()["patches/port/0002-items.patch"]
    assert validated("status", bench("status", "--json").out)["rebasing"] is None
    assert git(bench.workspace, "status", "--porcelain") == b""


def test_new_files_that_the_workspace_does_not_show(bench: Bench) -> None:
    """Their blobs are not there, but for those that git itself reads."""
    upstream = bench.stand_in.upstream
    (upstream / "elsewhere").mkdir()
    (upstream / "elsewhere" / "file").write_text("not shown\n")
    (upstream / "elsewhere" / ".gitignore").write_text("*.o\n")
    (upstream / ".gitmodules").write_text("")
    (upstream / "src" / ".gitattributes").write_text("*.py text\n")
    (upstream / "src" / "new.py").write_text("shown\n")
    onto = conflict(bench)
    stopped = bench("rebase", "--onto", onto)
    assert (stopped.code, " conflicts: " in stopped.err) == (1, True), stopped.err
    assert (bench.workspace / "src" / "new.py").exists()
    assert not (bench.workspace / "elsewhere").exists()
    assert bench("rebase", "--abort").code == 0


def test_abort_brings_every_byte_back(bench: Bench) -> None:
    before = bench.project(), state(bench)
    conflict(bench)
    assert bench("rebase", "--onto", "upstream").code == 1
    edit(bench.workspace, TABLE, b"# filler 82\n", b"# mine\n")
    aborted = bench("rebase", "--abort")
    assert aborted.code == 0
    (saved,) = (bench.workspace / "saved").iterdir()
    assert f"saved your changes as {saved}" in aborted.err
    assert b"+# mine" in saved.read_bytes()
    shutil.rmtree(saved.parent)
    assert (bench.project(), state(bench)) == before
    again = bench("rebase", "--abort")
    assert (again.code, "no rebase is in progress" in again.err) == (1, True)


@pytest.mark.parametrize("command", ["apply", "revert", "refresh", "rebase"])
def test_other_commands_wait_for_the_end(bench: Bench, command: str) -> None:
    conflict(bench)
    bench("rebase", "--onto", "upstream")
    before = state(bench)
    options = {"apply": ["--force"], "rebase": ["--onto", "upstream"]}.get(command, [])
    ran = bench(command, *options)
    assert (ran.code, "in progress" in ran.err, "--abort" in ran.err) == (1, True, True)
    assert state(bench) == before


def test_edits_are_not_carried_along(bench: Bench) -> None:
    edit(bench.workspace, TABLE, b"# filler 82\n", b"# mine\n")
    before = bench.project(), state(bench)
    ran = bench("rebase", "--onto", "upstream")
    assert (ran.code, "changes of yours" in ran.err) == (1, True)
    assert (bench.project(), state(bench)) == before


def test_a_patch_that_upstream_took_goes(bench: Bench) -> None:
    git(bench.stand_in.upstream, "apply", str(patch(bench, "port/0001")))
    commit(bench.stand_in.upstream, "Took one")
    ran = bench("rebase", "--onto", "upstream")
    assert ran.code == 0, ran.err
    assert f"dropped: {RANGES}" in ran.out
    assert f"renamed: {ITEMS} to port/0001-items.patch" in ran.out
    names = bench.project()["patches/series"].decode().split()
    assert names == [NO_BIAS, RATES, "port/0001-items.patch"]
    assert bench("check").code == 0
    assert lint(bench.stand_in.project) == []


def test_a_file_that_is_gone_needs_a_word(bench: Bench) -> None:
    upstream = bench.stand_in.upstream
    (upstream / "old").mkdir()
    git(upstream, "mv", TABLE, "old/table.py")
    commit(upstream, "Move it")
    stopped = bench("rebase", "--onto", "upstream")
    assert stopped.code == 1
    assert f"{TABLE}: " in stopped.err
    assert "no longer exists; files of this name: old/table.py" in stopped.err
    undecided = bench("rebase", "--continue")
    assert (undecided.code, "`git rm` to remove it" in undecided.err) == (1, True)
    while stopped.code:
        git(bench.workspace, "rm", "--quiet", TABLE)
        stopped = bench("rebase", "--continue")
    assert bench("check").code == 0
    assert not any(TABLE.encode() in data for data in bench.project().values())


def test_killed_while_the_project_is_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(bench.stand_in.upstream, "src/train.py", b"# filler 1\n", b"# filler 1\n# one more\n")
    onto = commit(bench.stand_in.upstream, "Newer")

    class Killed(BaseException):
        pass

    replace = Path.replace

    def die_at_the_third(path: Path, target: Path) -> Path:
        if target.suffix == ".patch":
            moved.append(target)
            if len(moved) == 3:
                raise Killed
        return replace(path, target)

    moved: list[Path] = []
    monkeypatch.setattr(Path, "replace", die_at_the_third)
    with pytest.raises(Killed):
        bench("rebase", "--onto", onto)
    monkeypatch.undo()
    assert lint(bench.stand_in.project), "half of it is written"
    status = bench("revert")
    assert status.code == 0, status.err
    assert lint(bench.stand_in.project) == []
    assert bench.project()["pinned_commit.txt"] == f"{onto}\n".encode()
    assert bench("check").code == 0


def test_a_full_disk_leaves_the_old_series(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.project(), state(bench)
    edit(bench.stand_in.upstream, "src/train.py", b"# filler 1\n", b"# filler 1\n# one more\n")
    commit(bench.stand_in.upstream, "Newer")
    write = draft._write

    def no_room(path: Path, data: bytes) -> None:
        if path.name.startswith("0002"):
            raise OSError(28, "No space left on device", str(path))
        write(path, data)

    monkeypatch.setattr(draft, "_write", no_room)
    ran = bench("rebase", "--onto", "upstream")
    assert (ran.code, "Free some space" in ran.err) == (1, True)
    assert bench.project() == before[0]
    monkeypatch.undo()


def patch(bench: Bench, start: str) -> Path:
    (found,) = (bench.stand_in.project / "patches").glob(f"{start}*")
    return found
