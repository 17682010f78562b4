"""The next command finishes a move of the work tree that was interrupted at any moment."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from mfn_patcher.patching.transaction import Move
from tests.support.repositories import StandIn, git
from tests.support.tool import Tool, places
from tests.support.toy_series import FILES, TRAIN

pytestmark = pytest.mark.long

SEED = 20180427


def arguments(workspace: Path, stand_in: StandIn, *options: str) -> list[str]:
    here = places("apply", workspace, stand_in.project, stand_in.upstream)
    return ["apply", *map(str, here), *options]


def snapshot(workspace: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(workspace.glob("src/**/*.py"))}


@pytest.mark.parametrize("start", ["from nothing", "from another series"])
def test_killed_at_random_moments(
    tool: Tool, stand_in: StandIn, tmp_path: Path, start: str
) -> None:
    workspace = tmp_path / "workspace"
    fresh = start == "from nothing"
    states: list[dict[str, bytes]] = [{}]
    sources = sum(path.endswith(".py") for path in FILES)
    selections: list[tuple[str, ...]] = [(), ("--stack", "fixes")]
    if not fresh:
        states = []
        for selection in selections:
            assert tool(*arguments(workspace, stand_in, *selection)).code == 0
            states.append(snapshot(workspace))
        assert states[0] != states[1]
    timed = tmp_path / "timed" if fresh else workspace
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mfn_patcher", *arguments(timed, stand_in)],
        check=True,
        capture_output=True,
    )
    seconds = time.perf_counter() - began
    moments = random.Random(SEED)
    cut_short = 0
    for attempt in itertools.count():
        if cut_short == 10:
            break
        if fresh:
            workspace = tmp_path / f"workspace {attempt}"
        selection = selections[(attempt + 1) % 2]
        command = [sys.executable, "-m", "mfn_patcher", *arguments(workspace, stand_in, *selection)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        time.sleep(moments.uniform(0.2, 0.95) * seconds)
        # Half of the time its children die too, but for the one that moves the work tree.
        (os.kill if attempt % 4 < 2 else os.killpg)(process.pid, signal.SIGKILL)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            cut_short += 1
        else:
            seconds *= 0.8  # the machine has become faster, so this comes to an end
        wait_for_orphans(workspace)
        found = snapshot(workspace)
        if fresh:
            assert len(found) in {0, sources}
        else:
            assert found in states
        ran = tool(*arguments(workspace, stand_in, *selection))
        assert ran.code == 0, ran.err
        assert git(workspace, "status", "--porcelain") == b""
        if not fresh:
            assert snapshot(workspace) == states[(attempt + 1) % 2]


def wait_for_orphans(workspace: Path) -> None:
    """Wait for git processes that a killed command left: they hold its lock."""
    lock = workspace / ".git" / "mfn-patch" / "lock"
    if lock.exists():
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)


@pytest.mark.parametrize("left", ["folder", "head", "locks"])
def test_half_of_a_repository_is_completed(
    tool: Tool, stand_in: StandIn, tmp_path: Path, left: str
) -> None:
    """As after a kill in `git init`, or while it set something."""
    git_dir = tmp_path / "workspace" / ".git"
    git_dir.mkdir(parents=True)
    if left != "folder":
        (git_dir / "HEAD").write_text("ref: refs/heads/mfn-patch\n")
    if left == "locks":
        (git_dir / "refs").mkdir()
        (git_dir / "config.lock").touch()
        (git_dir / "shallow.lock").touch()
    ran = tool(*arguments(git_dir.parent, stand_in))
    assert ran.code == 0, ran.err
    assert git(git_dir.parent, "status", "--porcelain") == b""


def test_a_half_moved_work_tree_is_finished(tool: Tool, stand_in: StandIn, tmp_path: Path) -> None:
    """As after a power cut: some files new, one torn, one edited since, the index locked."""
    workspace = tmp_path / "workspace"
    tool(*arguments(workspace, stand_in, "--stack", "fixes"))
    old = git(workspace, "rev-parse", "HEAD").decode().strip()
    tool(*arguments(workspace, stand_in))
    new = git(workspace, "rev-parse", "HEAD").decode().strip()
    wanted = snapshot(workspace)
    tool(*arguments(workspace, stand_in, "--stack", "fixes"))

    moved = workspace / "src" / "table.py"
    moved.write_bytes(wanted[str(moved)])
    torn = workspace / TRAIN
    torn.write_bytes(wanted[str(torn)][:100])
    mine = workspace / "LICENSE"
    mine.write_text("edited after the cut\n")
    (workspace / ".git" / "index.lock").touch()
    listing = git(workspace, "ls-files", "-t").decode().splitlines()
    skipped = [line[2:] for line in listing if line[0] == "S"]
    note = {"move": asdict(Move(stand_in.pin, new)), "head": old, "skipped": skipped}
    (workspace / ".git" / "mfn-patch" / "transaction.json").write_text(json.dumps(note))

    ran = tool(*arguments(workspace, stand_in))
    assert ran.code == 0, ran.err
    assert snapshot(workspace) == wanted
    assert mine.read_text() == "edited after the cut\n"
    (copy,) = (workspace / "saved").rglob("train.py")
    assert copy.read_bytes() == wanted[str(torn)][:100]
    assert git(workspace, "rev-parse", "HEAD", "refs/mfn-patch/applied").decode().split() == [
        new,
        new,
    ]


def test_untracked_files_in_the_way_are_not_overwritten(
    tool: Tool, stand_in: StandIn, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    tool(*arguments(workspace, stand_in))
    (stand_in.upstream / "src" / "new.py").write_text("upstream's\n")
    (stand_in.project / "pinned_commit.txt").write_text(_commit_on_pin(stand_in))
    (workspace / "src" / "new.py").write_text("mine\n")
    ran = tool(*arguments(workspace, stand_in))
    assert ran.code == 1
    assert "src/new.py" in ran.err
    assert (workspace / "src" / "new.py").read_text() == "mine\n"
    (workspace / "src" / "new.py").unlink()
    assert tool(*arguments(workspace, stand_in)).code == 0
    assert (workspace / "src" / "new.py").read_text() == "upstream's\n"


def _commit_on_pin(stand_in: StandIn) -> str:
    git(stand_in.upstream, "checkout", "--quiet", stand_in.pin)
    git(stand_in.upstream, "add", "src/new.py")
    git(stand_in.upstream, "commit", "--quiet", "--message", "A file more")
    return git(stand_in.upstream, "rev-parse", "HEAD").decode().strip()


def test_another_git_holds_the_index(tool: Tool, stand_in: StandIn, tmp_path: Path) -> None:
    """Nothing was changed, so nothing is left to finish."""
    workspace = tmp_path / "workspace"
    options = ("-w", workspace, "--project", stand_in.project)
    assert tool("apply", *options, "--upstream", stand_in.upstream).code == 0
    before = git(workspace, "rev-parse", "HEAD")
    (workspace / ".git" / "index.lock").touch()
    ran = tool("revert", "-w", workspace)
    assert ran.code == 1
    assert "index.lock" in ran.err
    assert git(workspace, "rev-parse", "HEAD") == before
    (workspace / ".git" / "index.lock").unlink()
    shown = tool("status", *options)
    assert "interrupted" not in shown.out + shown.err
    assert tool("revert", "-w", workspace).code == 0
