"""The command line as a whole: start-up, exit codes, errors, documented commands."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mfn_patcher.cli import run
from mfn_patcher.cli.terminal import prefix_log, show_log
from mfn_patcher.errors import ExitCode
from tests.cli.test_help import COMMANDS
from tests.support.repositories import ROOT, StandIn
from tests.support.tool import Tool

SLOW = {"cv2", "git", "matplotlib", "mxnet", "numpy", "PIL", "rich", "torch"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("--help", set()),
        ("--version", {"git"}),
        ("train --help", set()),
        ("train --stage all --dry-run", {"cv2", "numpy", "PIL"}),  # of the data set that it checks
        ("recipes list", set()),
        (f"log {ROOT / 'tests/recorded/training.log'} --format csv", set()),
        (f"log {ROOT / 'tests/recorded/training.log'}", {"rich"}),
        ("lint", set()),
        ("apply", {"git"}),
    ],
)
def test_what_is_slow_to_import_is_imported_where_it_is_used(
    stand_in: StandIn, tmp_path: Path, command: str, needed: set[str]
) -> None:
    words = [*command.split(), *(["-w", "w"] if command == "apply" else [])]
    program = (
        "import sys; from mfn_patcher.cli import run; "
        f"code = run({words}); print(*sys.modules); sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={
            **os.environ,
            "MFN_PATCH_PROJECT": str(stand_in.project),
            "MFN_PATCH_UPSTREAM": str(stand_in.upstream),
        },
        stdout=subprocess.PIPE,
        check=False,
        text=True,
    )
    # Nothing can be trained where there is nothing.
    assert ran.returncode == ("--dry-run" in command)
    loaded = {name.partition(".")[0] for name in ran.stdout.splitlines()[-1].split()}
    assert loaded & SLOW == needed


def test_a_command_is_imported_without_the_others() -> None:
    program = (
        "import sys; from mfn_patcher.cli import run; run(['lint', '-h']); print(*sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, text=True
    )
    loaded = {name for name in ran.stdout.splitlines()[-1].split() if "mfn_patcher.cli." in name}
    shared = ("bars", "command", "completion", "options", "terminal", "version")
    assert loaded == {f"mfn_patcher.cli.{name}" for name in ("lint", *shared)}


def test_without_git(
    tool: Tool, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = tool("apply", "-w", tmp_path / "w", "--upstream", stand_in.upstream)
    assert ran.code == ExitCode.ERROR
    assert "git was not found" in ran.err


@pytest.mark.parametrize(
    "number", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.ENOTDIR, errno.EISDIR]
)
def test_what_a_disk_can_do(tool: Tool, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "it cannot be done", "/some/file")

    monkeypatch.setattr("mfn_patcher.patching.workspace.Workspace.status", fail)
    ran = tool("status")
    assert ran.code == ExitCode.ERROR
    assert ran.err.startswith("mfn-patch: /some/file: it cannot be done\n")
    assert "Traceback" not in ran.err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_file_system_that_takes_no_files(tool: Tool) -> None:
    ran = tool("data", "synth", "/proc/none")
    assert (ran.code, "Traceback" in ran.err) == (ExitCode.ERROR, False)
    ran = tool("apply", "-w", "/proc/none")
    assert ran.code == ExitCode.ERROR
    assert ran.err.startswith("mfn-patch: /proc/none: No such file or directory\n")


def test_a_bug_says_so(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfn_patcher.patching.workspace.Workspace.status", lambda _: 1 / 0)
    ran = tool("status")
    assert ran.code == ExitCode.BUG
    assert "ZeroDivisionError" in ran.err
    assert ran.err.endswith(
        "mfn-patch: this is a bug in mfn-patch\n"
        "Please report it with the lines above and those of `mfn-patch --version`.\n"
    )


def test_packages_of_another_python(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("import of_another_python")
    ran = subprocess.run(
        [sys.executable, "-m", "mfn_patcher", "compare", "model.onnx", "a.jpg", "b.jpg"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ran.returncode == ExitCode.ERROR
    assert ran.stderr == (
        "mfn-patch: a package that mfn-patch requires cannot be imported: "
        "No module named 'of_another_python'\n"
        f"Unset PYTHONPATH, which is {tmp_path}: its packages may be of another Python.\n"
    )


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, click.Abort])
def test_an_interruption(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def interrupt(_: object) -> None:
        raise interruption

    monkeypatch.setattr("mfn_patcher.patching.workspace.Workspace.status", interrupt)
    ran = tool("status")
    assert ran.code == ExitCode.INTERRUPTED
    assert "Traceback" not in ran.err


def test_verbosity(stand_in: StandIn, tool: Tool, tmp_path: Path) -> None:
    apply = ("apply", "--upstream", stand_in.upstream, "--project", stand_in.project)
    usual = tool(*apply, "-w", tmp_path / "usual")
    quiet = tool(*apply, "-w", tmp_path / "quiet", "-q")
    assert usual.code == quiet.code == 0
    assert usual.out.replace("usual", "quiet") == quiet.out
    assert usual.err.startswith("mfn-patch: ")
    assert quiet.err == ""
    # What one command was told does not outlast it.
    assert tool(*apply, "-w", tmp_path / "again").err == usual.err.replace("usual", "again")


def test_log_levels(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("mfn_patcher.somewhere")
    for level, shown in ((logging.DEBUG, 3), (logging.INFO, 2), (logging.WARNING, 1)):
        show_log(level)
        logger.debug("a detail")
        logger.info("what is going on\x1b[2J")
        logger.warning("what to act on")
        lines = capfd.readouterr().err.splitlines()
        assert lines[-1] == "mfn-patch: warning: what to act on"
        assert len(lines) == shown
        assert "\x1b" not in "".join(lines)
    show_log(logging.INFO)


def test_processes_that_share_a_terminal_are_told_apart(
    capfd: pytest.CaptureFixture[str],
) -> None:
    prefix_log("rank 1 on b")
    logging.getLogger("mfn_patcher.somewhere").warning("what to act on")
    assert capfd.readouterr().err == "mfn-patch: warning: rank 1 on b: what to act on\n"
    # What one command was told does not outlast it.
    assert run(["recipes", "list"]) == ExitCode.DONE
    capfd.readouterr()
    logging.getLogger("mfn_patcher.somewhere").info("what is going on")
    assert capfd.readouterr().err == "mfn-patch: what is going on\n"


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("aply", "apply"),
        ("data shw", "show"),
        ("apply --dryrun", "--dry-run"),
        ("xyzzy", None),
        ("apply --xyzzy", None),
    ],
)
def test_a_mistyped_command_or_option(tool: Tool, typed: str, suggested: str | None) -> None:
    ran = tool(*typed.split())
    assert ran.code == ExitCode.USAGE
    assert ran.err.startswith("Usage: mfn-patch ")
    assert ("Did you mean" in ran.err) == (suggested is not None)
    assert suggested is None or f"Did you mean {suggested!r}?" in ran.err


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("train --dry-run --stage archface", "arcface"),
        ("train --dry-run --stage all --recipe mobilefacenets", "mobilefacenet"),
        ("diff recipes/0002", "recipe/0002"),
        ("diff fc7-without-bias", "recipe/0001-fc7-without-bias"),
        ("apply --stack pyton3", "python3"),
    ],
)
def test_a_mistyped_name(tool: Tool, typed: str, suggested: str) -> None:
    ran = tool(*typed.split())
    assert ran.code == ExitCode.ERROR
    assert ran.err.endswith(f"\nDid you mean {suggested!r}?\n")


def test_a_reader_that_has_seen_enough(stand_in: StandIn, tool: Tool, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    tool("apply", "-w", workspace, "--upstream", stand_in.upstream, "--project", stand_in.project)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "mfn_patcher", "diff", "-w", str(workspace)]
    ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, b"")


def test_every_command_has_a_row_and_every_schema_a_link() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8").partition("\n## ")[0]
    documented = re.findall(r"^\| `([a-z ]+)` \|", page, re.MULTILINE)
    assert sorted(documented) == sorted(COMMANDS)
    linked = set(re.findall(r"\]\(schema/([a-z-]+\.json)\)", page))
    assert linked == {path.name for path in (ROOT / "docs" / "schema").glob("*.json")}


def test_the_table_of_exit_codes_is_documented() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    documented = [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert documented == [code.value for code in ExitCode]


def test_json_is_asked_for_by_one_option(tool: Tool, stand_in: StandIn, tmp_path: Path) -> None:
    log = ROOT / "tests/recorded/training.log"
    places = ("--upstream", stand_in.upstream, "--project", stand_in.project)
    for command in (("log", log), ("check", *places)):
        short, long = tool(*command, "--json"), tool(*command, "--format", "json")
        assert short.code == 0, short.err
        assert json.loads(short.out) == json.loads(long.out)
    # Every command whose results have a schema.
    page = (ROOT / "docs/commands.md").read_text()
    for name in re.findall(r"^\| `([a-z ]+)` \|.*schema/", page, re.MULTILINE):
        if name not in ("train",):  # whose record is a file
            assert "--json" in tool(*name.split(), "--help").out, name


def test_messages_that_cannot_be_written_end_nothing(stand_in: StandIn, tmp_path: Path) -> None:
    """As in a log on a full disk; `apply` says what it does there."""
    command = [sys.executable, "-m", "mfn_patcher", "apply", "-w", str(tmp_path / "w")]
    command += ["--upstream", str(stand_in.upstream), "--project", str(stand_in.project)]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert ran.returncode == 0
    assert "applied to" in ran.stdout
