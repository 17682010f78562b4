"""A command may be killed at any moment: the next one recovers, and nothing is lost.

The moments are not random: the command runs in a forked process, which kills itself after a git
process that changes anything but objects, or after a change of a file by the tool. What happens
between two such moments changes nothing that the next command could find.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.cli import run
from mfn_patcher.patching import draft
from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.series import series_entries
from tests.support.repositories import commit, git
from tests.support.tool import Tool, places
from tests.support.toy import NEW, Toy, make_toy

pytestmark = pytest.mark.long

# Commands of git that read, or only write objects, which nothing refers to yet.
READING = {
    *("cat-file", "diff", "for-each-ref", "log", "ls-files", "ls-remote", "ls-tree", "merge-base"),
    *("merge-file", "rev-list", "rev-parse", "status"),
    *("commit-tree", "hash-object", "write-tree"),
}

Files = dict[str, "bytes | str"]


def prepare(toy: Toy) -> None:
    """Three patches applied, and an edit and a new file on top."""
    toy.change("src/a.py", 20, "second")
    toy.write("src/new.py", "a patch's\n")
    toy.take("second/0001-more.patch")
    toy.change("src/b.py", 3, "third")
    toy.take("third/0001-b.patch")
    assert toy("apply").code == 0


def edit(toy: Toy) -> None:
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    (toy.workspace / "src" / "added.py").write_text("mine\n")
    git(toy.workspace, "add", "--sparse", "src/added.py")


def shorter(toy: Toy) -> list[str]:
    (toy.workspace / "mine.txt").write_text("untracked\n")
    return ["apply", "--stack", "first"]


def new(toy: Toy) -> list[str]:
    edit(toy)
    return ["new", *NEW]


def refresh(toy: Toy) -> list[str]:
    edit(toy)
    return ["refresh", "first/0001"]


def rebase(toy: Toy) -> list[str]:
    toy.branch("newer")
    toy.change("src/b.py", 30, "upstream's")
    toy.write("src/more.py", "upstream's\n")
    git(toy.upstream, "rm", "--quiet", "README.md")
    commit(toy.upstream, "newer")
    return ["rebase", "--onto", "newer"]


def stopping(toy: Toy) -> list[str]:
    toy.branch("newer")
    toy.change("src/a.py", 20, "upstream's")
    toy.write("src/more.py", "upstream's\n")
    commit(toy.upstream, "newer")
    return ["rebase", "--onto", "newer"]


def continued(toy: Toy) -> list[str]:
    assert toy(*stopping(toy)).code == 1
    file = toy.workspace / "src" / "a.py"
    head, _, rest = file.read_text().partition("<<<<<<<")
    file.write_text(f"{head}decided\n{rest.partition('>>>>>>> ')[2].partition(chr(10))[2]}")
    return ["rebase", "--continue"]


def aborted(toy: Toy) -> list[str]:
    continued(toy)
    return ["rebase", "--abort"]


def imported(toy: Toy) -> list[str]:
    diff = toy.folder / "more.diff"
    diff.write_text("--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-hello\n+hello there\n")
    return ["import", str(diff), "--stack", "own", "--author", "Me <me@example.org>"]


COMMANDS = [shorter, new, refresh, rebase, stopping, continued, aborted, imported]


def changes_more_than_objects(command: Sequence[object], env: Mapping[str, str] | None) -> bool:
    """Return whether a command of git changes anything that others see."""
    private = env is not None and "GIT_INDEX_FILE" in env
    return not private and READING.isdisjoint(command[1:4])


def killed_at(moment: int, arguments: list[str]) -> bool:
    """Run a command in a forked process that is killed at a moment; return whether it was."""
    process = os.fork()
    if process:
        _, status = os.waitpid(process, 0)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    left = moment

    def ticking(function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*positional: object, **named: Any) -> object:
            nonlocal left
            result = function(*positional, **named)
            if function is not run_git or changes_more_than_objects(positional, named.get("env")):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    run_git = Repository.run

    for owner, name in (
        (Repository, "run"),
        (Path, "replace"),
        (Path, "rename"),
        (Path, "unlink"),
        (draft, "_write"),
    ):
        setattr(owner, name, ticking(getattr(owner, name)))
    try:
        os._exit(run(arguments))
    finally:
        os._exit(99)


def state(toy: Toy) -> tuple[Files, Files]:
    """The files of workspace and project, but for the date of a new patch and saved files."""
    files = {path: content for path, content in toy.work_tree().items() if path[:6] != "saved/"}
    patches = {
        path: b"\n".join(line for line in content.split(b"\n") if not line.startswith(b"Date: "))
        for path, content in toy.patches().items()
    }
    return files, dict(patches)


def arguments(toy: Toy, command: list[str]) -> list[str]:
    here = places(command[0], toy.workspace, toy.project, toy.upstream)
    return [command[0], *map(str, here), *command[1:]]


@pytest.mark.parametrize("prepared", COMMANDS)
def test_killed_at_every_moment(
    tool: Tool, tmp_path: Path, prepared: Callable[[Toy], list[str]]
) -> None:
    """After a kill, a command that reads leaves what was there before, or all that was wanted."""
    toy = make_toy(tool, tmp_path / "toy")
    prepare(toy)
    command = prepared(toy)
    shutil.copytree(toy.folder, tmp_path / "start", symlinks=True)

    def begin_again() -> None:
        shutil.rmtree(toy.folder)
        shutil.copytree(tmp_path / "start", toy.folder, symlinks=True)

    before = state(toy)
    code = toy(*command).code
    wanted = state(toy)
    rebasing = "rebase" in toy("status").out
    kills = finished = 0
    while True:
        begin_again()
        if not killed_at(kills, arguments(toy, command)):
            break
        kills += 1
        recovered = {}
        for name in ("status", "lint") if kills % 2 else ("lint", "status"):
            recovered[name] = ran = toy(name)
            assert ran.code == 0, ran.err
            assert [path for path in toy.project.iterdir() if path.name[0] == "."] == []
        after = state(toy)
        assert after[1] in (before[1], wanted[1])
        if after[1] == wanted[1] != before[1]:
            finished += 1
            assert after[0] == wanted[0]
            up_to_date = toy("apply").out.startswith("Nothing to do")
            assert up_to_date == (prepared is not imported)
            continue
        if "rebase" in recovered["status"].out:
            assert after[0] in (before[0], wanted[0])
            assert (prepared, rebasing) in ((stopping, True), (continued, False), (aborted, False))
        else:
            assert after[0] in (before[0], wanted[0])
        again = toy(*command)
        if "is in progress" in again.err:
            assert toy("rebase", "--continue").code == 1
        elif "no rebase is in progress" not in again.err:
            assert again.code == code, again.err
        assert state(toy) == wanted
        if prepared is aborted:
            assert any(b"+decided\n" in content for content in toy.saved().values())
    assert kills > 3
    if prepared in (new, refresh, rebase, continued, imported):
        assert finished > 0


@pytest.mark.parametrize("name", ["attributes", "exclude"])
def test_killed_while_a_file_of_git_is_written(tool: Tool, tmp_path: Path, name: str) -> None:
    """Half of one would stay; without the attributes, those of upstream would change contents."""
    toy = make_toy(tool, tmp_path)
    process = os.fork()
    if not process:
        open_file = Path.open

        def dying(path: Path, *mode: Any, **named: Any) -> Any:
            file = open_file(path, *mode, **named)
            if path.name.startswith(name):
                os.kill(os.getpid(), signal.SIGKILL)
            return file

        setattr(Path, "open", dying)  # noqa: B010
        try:
            os._exit(run(arguments(toy, ["apply"])))
        finally:
            os._exit(99)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert toy("apply").code == 0
    assert (toy.workspace / ".git" / "info" / name).read_text()


def test_the_series_names_no_patch_that_is_missing(toy: Toy) -> None:
    """At each moment; whoever reads the project without this tool must not see half of it."""
    toy.change("src/a.py", 20, "second")
    toy.take("first/0002-second.patch")
    toy.change("src/a.py", 30, "third")
    toy.take("first/0003-third.patch")
    assert toy("apply").code == 0
    toy.branch("newer")
    toy.change("src/a.py", 20, "second")  # upstream took one, so the next is renamed
    commit(toy.upstream, "newer")
    complete = []
    replace, unlink = Path.replace, Path.unlink

    def look() -> None:
        names = [name for _, name in series_entries(toy.project)]
        missing = [name for name in names if not (toy.project / "patches" / name).exists()]
        assert missing == []
        complete.append(names)

    def replacing(path: Path, target: Path) -> Path:
        try:
            return replace(path, target)
        finally:
            look()

    def unlinking(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        look()

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(Path, "replace", replacing)
        patching.setattr(Path, "unlink", unlinking)
        assert toy("rebase", "--onto", "newer").code == 0
    assert ["first/0001-a.patch", "first/0002-third.patch"] in complete
    assert ["first/0001-a.patch", "first/0002-second.patch", "first/0003-third.patch"] in complete


def test_a_command_waits_for_the_git_of_a_killed_one(toy: Toy, tmp_path: Path) -> None:
    """git holds the workspace's lock as long as it lives, even when the tool is gone."""
    assert toy("apply").code == 0
    git_dir = toy.workspace / ".git"
    began, go_on = tmp_path / "began", tmp_path / "go on"
    filters = f"touch '{began}'; while ! test -e '{go_on}'; do sleep 0.05; done; cat"
    git(toy.workspace, "config", "filter.slow.smudge", filters)
    (git_dir / "info" / "attributes").write_text("src/b.py filter=slow\n")
    toy.change("src/b.py", 3, "slowly")
    toy.take("second/0001-b.patch")
    process = os.fork()
    if not process:
        try:
            os._exit(run(arguments(toy, ["apply"])))
        finally:
            os._exit(99)
    deadline = time.monotonic() + 30
    while not began.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    waiting = os.fork()
    if not waiting:
        try:
            os._exit(run(arguments(toy, ["status"])))
        finally:
            os._exit(99)
    time.sleep(1)
    ended, _ = os.waitpid(waiting, os.WNOHANG)
    assert ended == 0, "it did not wait for git, which still moves the work tree"
    go_on.touch()
    _, status = os.waitpid(waiting, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert "Nothing to do" in toy("apply").out
    assert "slowly\n" in (toy.workspace / "src" / "b.py").read_text()
