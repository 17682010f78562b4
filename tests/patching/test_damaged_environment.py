"""In a damaged environment, a command ends with a message and a documented exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.patching import upstream
from mfn_patcher.patching.draft import Draft
from mfn_patcher.patching.git import GitError
from mfn_patcher.patching.transaction import Transaction
from tests.support.repositories import commit, git
from tests.support.tool import run_restricted
from tests.support.toy import NEW, Toy, snapshot

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("applied")]


def ran(toy: Toy, *arguments: str, closed: tuple[int, ...] = (), where: Path | None = None) -> int:
    """Run the tool in a process of its own with some standard streams closed."""
    places = ("-w", str(toy.workspace), "--project", str(toy.project))
    shell = "exec " + " ".join(['"$@"', *(f"{number}>&-" for number in closed)])
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "mfn_patcher", *arguments, *places]
    result = subprocess.run(command, cwd=where, capture_output=True, timeout=100, check=False)
    assert b"Traceback" not in result.stderr, result.stderr.decode()
    return result.returncode


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        ("project/patches", ("new", *NEW)),
        ("project/patches/first", ("refresh", "first/0001")),
        ("workspace/src", ("new", *NEW)),
        (
            "workspace/src",
            ("apply", "--force", "--upstream", "upstream", "--without", "first/0001"),
        ),
    ],
)
def test_folders_that_cannot_be_written(toy: Toy, folder: str, command: tuple[str, ...]) -> None:
    toy.change("src/b.py", 3, "theirs")
    toy.take("second/0001-b.patch")
    assert toy("apply").code == 0
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    before = snapshot(toy.project), toy.work_tree()
    (toy.folder / folder).chmod(0o555)
    try:
        said = restricted(toy, *command)
    finally:
        (toy.folder / folder).chmod(0o755)
    assert f"cannot write in {toy.folder / folder}: Permission denied" in said
    shutil.rmtree(toy.workspace / "saved", ignore_errors=True)
    assert (snapshot(toy.project), toy.work_tree()) == before
    assert "edited   src/a.py" in toy("status").out


def restricted(toy: Toy, *arguments: str) -> str:
    """Run a command that fails, without the right of root to write everywhere."""
    places = ("-w", str(toy.workspace), "--project", str(toy.project))
    result = run_restricted(*arguments, *places, folder=toy.folder)
    assert result.returncode == 1, result.stderr
    return result.stderr


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_closed_streams(toy: Toy, closed: tuple[int, ...]) -> None:
    upstream = ("--upstream", str(toy.upstream))
    assert ran(toy, "status", closed=closed) == 0
    assert ran(toy, "apply", *upstream, "--stack", "first", closed=closed) == 0
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    asking = ("new", "mine", "--stack", "local", "--author", "Me <me@example.org>")
    assert ran(toy, *asking, closed=closed) == 2, "this is not a terminal"
    assert ran(toy, "new", *NEW, closed=closed) == 0
    assert "Nothing to do" in toy("apply").out
    # Nothing that was printed got into a file that was opened under a stream's number.
    assert (toy.workspace / ".git" / "mfn-patch" / "lock").read_bytes() == b""


def test_the_current_folder_was_removed(toy: Toy) -> None:
    where = toy.folder / "here"
    where.mkdir()
    command = 'rmdir "$PWD"; exec "$@"'
    arguments = [sys.executable, "-m", "mfn_patcher", "status", "-w", str(toy.workspace)]
    result = subprocess.run(
        ["sh", "-c", command, "sh", *arguments],
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
    )
    said = result.stderr.decode()
    assert (result.returncode, "current folder no longer exists" in said) == (1, True), said


@pytest.mark.parametrize("command", [("plot", "log"), ("report", "last")])
@pytest.mark.parametrize("place", ["nowhere", "a file"])
def test_output_into_a_folder_that_is_not_there(
    toy: Toy, command: tuple[str, ...], place: str
) -> None:
    (toy.folder / "a file").write_text("x")
    suffix = {"plot": "png", "report": "html"}[command[0]]
    output = toy.folder / place / f"x.{suffix}"
    got = toy.tool(*command, "-w", toy.workspace, "-o", output)
    assert (got.code, f"folder {output.parent} does not exist" in got.err) == (2, True)


def test_doctor_without_git(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = toy.folder / "no programs"
    nowhere.mkdir()
    monkeypatch.setenv("PATH", str(nowhere))
    got = toy.tool("doctor", "--cpu", "-w", toy.workspace, "--project", toy.project)
    assert got.code in (1, 4), got.err
    assert "git: git was not found" in got.out
    assert "interpreter: Python" in got.out, "the rest of the table is there"
    got = toy.tool("doctor", "--cpu", "-w", toy.workspace, "--project", toy.project, "--json")
    assert {"git", "workspace", "interpreter"} <= {
        finding["check"] for finding in json.loads(got.out)["findings"]
    }


def empty_object(toy: Toy) -> None:
    git(toy.workspace, "repack", "-adq")
    for pack in (toy.workspace / ".git" / "objects" / "pack").iterdir():
        pack.chmod(0o644)
        pack.write_bytes(b"")


def lost_tree(toy: Toy) -> None:
    lost = git(toy.workspace, "rev-parse", "HEAD^{tree}").decode().strip()
    objects = toy.workspace / ".git" / "objects"
    for pack in [*(objects / "pack").glob("*.pack")]:
        git(toy.workspace, "unpack-objects", "-q", stdin=pack.rename(toy.folder / "p").read_bytes())
    (objects / lost[:2] / lost[2:]).unlink()


def broken_index(toy: Toy) -> None:
    (toy.workspace / ".git" / "index").write_bytes(b"rubbish")


def empty_index(toy: Toy) -> None:
    (toy.workspace / ".git" / "index").write_bytes(b"")


def empty_head(toy: Toy) -> None:
    (toy.workspace / ".git" / "HEAD").write_bytes(b"")


def broken_config(toy: Toy) -> None:
    (toy.workspace / ".git" / "config").write_bytes(b"\0\0\0")


def empty_branch(toy: Toy) -> None:
    (toy.workspace / ".git" / "refs" / "heads" / "mfn-patch").write_bytes(b"")


DAMAGES = [
    empty_object,
    lost_tree,
    broken_index,
    empty_index,
    empty_head,
    broken_config,
    empty_branch,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_repository(toy: Toy, damage: object) -> None:
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    damage(toy)  # type: ignore[operator]
    before = snapshot(toy.workspace)
    for command in (["status"], ["diff"], ["refresh"], ["revert"], ["apply"], ["status"]):
        got = toy(*command)
        assert got.code in (0, 1), got.err
        assert "failed with status" not in got.err, got.err
        assert "lazy" not in got.err, got.err
        if got.code:
            assert len(got.err.splitlines()) <= 8, got.err
        assert snapshot(toy.workspace) == before


def test_a_repository_without_its_head_is_completed(toy: Toy) -> None:
    before = toy.work_tree()
    (toy.workspace / ".git" / "HEAD").unlink()
    said = toy("status")
    assert (said.code, "mfn-patch apply` to complete it" in said.err) == (1, True)
    ran = toy("apply")
    assert ran.code == 0, ran.err
    assert toy.work_tree() == before
    assert toy("status").code == 0
    assert git(toy.workspace, "status", "--porcelain") == b""


@pytest.mark.parametrize("name", ["transaction", "adoption", "rebase"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_damaged_notes(toy: Toy, name: str, text: str) -> None:
    note = toy.workspace / ".git" / "mfn-patch" / f"{name}.json"
    note.write_text(text)
    before = snapshot(toy.folder)
    for command in ("status", "apply", "revert"):
        result = toy(command)
        assert (result.code, f"{note} is damaged" in result.err) == (1, True), result.err
    assert toy("rebase", "--abort").code == 1
    assert snapshot(toy.folder) == before


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def interrupted_move(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setattr(Transaction, "_settle", interrupted)
    assert toy("revert").code == 130
    return "transaction", "status"


def interrupted_refresh(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    monkeypatch.setattr(Draft, "install", interrupted)
    assert toy("refresh").code == 130
    return "adoption", "status"


def stopped_rebase(toy: Toy, _: pytest.MonkeyPatch) -> tuple[str, ...]:
    toy.branch("newer")
    toy.change("src/a.py", 9, "upstream's")
    commit(toy.upstream, "newer")
    assert toy("rebase", "--onto", "newer").code == 1
    return "rebase", "rebase", "--continue"


def damaged(note: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a note with each of its values missing, and of another type."""
    for key, value in note.items():
        yield {other: note[other] for other in note if other != key}
        yield {**note, key: [7]}
        if isinstance(value, dict):
            yield from ({**note, key: inner} for inner in damaged(value))


@pytest.mark.parametrize("prepare", [interrupted_move, interrupted_refresh, stopped_rebase])
def test_notes_with_wrong_values(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, prepare: Callable[..., tuple[str, ...]]
) -> None:
    with monkeypatch.context() as patching:
        name, *command = prepare(toy, patching)
    note = toy.workspace / ".git" / "mfn-patch" / f"{name}.json"
    valid = note.read_text()
    for value in damaged(json.loads(valid)):
        note.write_text(json.dumps(value))
        before = snapshot(toy.folder)
        result = toy(*command)
        assert (result.code, f"{note} is damaged: " in result.err) == (1, True), result.err
        assert snapshot(toy.folder) == before
    note.write_text(valid)
    assert "is damaged" not in toy(*command).err


@pytest.mark.parametrize("done", [-1, 1, 99])
def test_an_impossible_number_of_patches_is_done(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    before = toy.work_tree()
    stopped_rebase(toy, monkeypatch)
    note = toy.workspace / ".git" / "mfn-patch" / "rebase.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "done": done}))
    result = toy("rebase", "--continue")
    assert (result.code, "`mfn-patch rebase --abort`" in result.err) == (1, True), result.err
    assert toy("rebase", "--abort").code == 0
    assert toy.work_tree() == before


def test_no_temporary_folder(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that is full everywhere."""
    with monkeypatch.context() as patching:
        patching.setattr(tempfile, "tempdir", None)
        patching.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(toy.folder / "nowhere")])
        ran = toy("check")
    assert (ran.code, "set TMPDIR to a writable folder" in ran.err) == (1, True), ran.err


@pytest.mark.parametrize(
    "said",
    [
        "fatal: unable to write loose object file: No space left on device",
        "fatal: sha1 file '.git/objects/pack/tmp_idx_1' write error. Out of diskspace",
        "error: failed to write new configuration file .git/config.lock",
    ],
)
def test_what_git_says_of_a_full_disk(said: str) -> None:
    error = GitError(("fetch",), 128, b"", f"{said}\nfatal: index-pack failed".encode())
    assert error.remedy.startswith("Free some space")
    assert upstream._remedy([error]) == error.remedy


def test_the_index_was_removed(toy: Toy) -> None:
    """Without it, git takes all files for removed."""
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    (toy.workspace / ".git" / "index").unlink()
    result = toy("diff", "--local")
    assert (result.code, result.out) == (1, ""), result.out
    assert f"git -C {toy.workspace} reset`" in result.err
    git(toy.workspace, "reset", "--quiet")
    assert "+mine\n" in toy("diff", "--local").out


def test_the_branch_was_removed(toy: Toy) -> None:
    git(toy.workspace, "update-ref", "-d", "refs/heads/mfn-patch")
    result = toy("apply")
    assert (result.code, "the current branch of" in result.err) == (1, True), result.err
    assert "If branch mfn-patch is lost, move the folder away" in result.err
