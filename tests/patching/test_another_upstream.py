"""A project for another upstream: its address and paths are data, and no code changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.series import load_series
from tests.support.repositories import ROOT, commit, git, write_upstream
from tests.support.tool import Ran, Tool, validated
from tests.support.toy import HEADER_OPTIONS, LINES, Toy, snapshot


@pytest.fixture
def toy(tool: Tool, tmp_path: Path) -> Toy:
    """An upstream with other paths, and a project that names it by a path of its own."""
    toy = Toy(tool, tmp_path)
    for path in ("lib/core.c", "lib/deep/more.c", "tests/core.c", "big/data.bin", "LICENSE"):
        toy.write(path, "".join(LINES))
    git(toy.upstream, "init", "--quiet", "--initial-branch=trunk")
    pin = commit(toy.upstream, "pin")
    git(toy.upstream, "tag", "pin")
    toy.project.mkdir()
    (toy.project / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(toy.project, "../upstream", ("/LICENSE", "/lib/"))
    toy.change("lib/core.c", 9, "LINE 9")
    toy.take("local/0001-core.patch")
    toy.change("tests/core.c", 3, "LINE 3")
    toy.take("local/0002-tests.patch")
    return toy


def run(toy: Toy, command: str, *options: str) -> Ran:
    """Run a command without ``--upstream``."""
    workspace = () if command in ("check", "lint") else ("-w", toy.workspace)
    project = () if command == "revert" else ("--project", toy.project)
    ran = toy.tool(command, *workspace, *project, *options)
    assert ran.code == 0, ran.err
    return ran


def test_every_command_works(toy: Toy) -> None:
    run(toy, "apply")
    files = {path for path in toy.work_tree() if not path.startswith("saved/")}
    assert files == {"LICENSE", "lib/core.c", "lib/deep/more.c", "tests/core.c"}
    status = validated("status", run(toy, "status", "--json").out)
    assert status["address"] == str(toy.upstream)
    assert [patch["state"] for patch in status["patches"]] == ["applied", "applied"]
    assert "+LINE 9" in run(toy, "diff").out
    assert "0 of 2 patches drift at pin" in run(toy, "check").out

    toy.change("lib/core.c", 20, "edited", where=toy.workspace)
    run(toy, "refresh", "local/0001")
    toy.change("lib/deep/more.c", 20, "edited", where=toy.workspace)
    run(toy, "new", "more", "--stack", "local", *HEADER_OPTIONS)
    assert "0 of 3 patches drift at pin" in run(toy, "check").out

    toy.branch("trunk")
    toy.write("lib/new.c", "upstream's\n")
    toy.change("lib/core.c", 0, "first")
    onto = commit(toy.upstream, "newer")
    assert "0 of 3 patches drift at upstream" in run(toy, "check", "--against", "upstream").out
    run(toy, "rebase", "--onto", "upstream")
    series = load_series(toy.project)
    assert (series.pin, len(series.patches)) == (onto, 3)
    assert (toy.workspace / "lib" / "new.c").exists()
    run(toy, "lint")
    run(toy, "revert")
    assert (toy.workspace / "lib" / "core.c").read_text().startswith("first\nline 1\n")


def test_the_workspace_of_another_project_is_refused(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be filled with the files of another upstream."""
    workspace = toy.project / "upstream"
    monkeypatch.chdir(toy.project)
    assert toy.tool("apply").code == 0
    before = snapshot(workspace)

    monkeypatch.chdir(tmp_path)
    for command in (("apply",), ("status",), ("diff",), ("refresh", "local/0001"), ("rebase",)):
        ran = toy.tool(*command, "-w", "project/upstream")
        assert (ran.code, ran.out) == (2, "")
        text = " ".join(ran.err.split())
        assert f"project/upstream belongs to the project {toy.project}, not to" in text
        assert "--project" in text
    assert snapshot(workspace) == before

    assert toy.tool("status", "-w", "project/upstream", "--project", "project").code == 0
    monkeypatch.chdir(workspace.parent)
    assert toy.tool("status", "-w", workspace).code == 0
    # These take no project.
    monkeypatch.chdir(tmp_path)
    assert toy.tool("runs", "list", "-w", "project/upstream").code == 0


def test_an_option_or_variable_overrides_the_address(toy: Toy, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(toy.upstream), str(mirror))
    write_upstream(toy.project, "file:///nowhere", ("/lib/",))
    assert toy.tool("check", "--project", toy.project).code == 1
    assert toy.tool("check", "--project", toy.project, "--upstream", mirror).code == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("address = 'https://a.b/c'\npaths = [src]\n", "upstream.toml:2: not valid TOML"),
        ("address = 'https://a.b/c'\n", "missing key 'paths'"),
        ("address = 'https://a.b/c'\npaths = ['/a']\npin = ''\n", "unknown key 'pin'"),
        ("address = 'a'\npaths = ['/a']\nignored = '/a'\n", "`ignored` must be a list"),
        ("address = 'a'\npaths = ['/a']\nignored = ['a']\n", "'a' must be a string that starts"),
        ("address = 'a'\npaths = ['/a']\nheader = 7\n", "`header` must be a table"),
        ("address = 'a'\npaths = ['/a']\nheader.why = 'w'\n", "'why' must be a word"),
        ("address = 'a'\npaths = ['/a']\nheader.Why = 7\n", "'Why' must be a word"),
        ("address = 7\npaths = ['/a']\n", "`address` must be a string"),
        ("address = 'https://token@a.b/c'\npaths = ['/a']\n", "must not contain a user name"),
        ("address = 'ext::sh -c id'\npaths = ['/a']\n", "`address`: cannot fetch from"),
        ("address = 'https://a.b/c'\npaths = '/a'\n", "`paths` must be a list"),
        ("address = 'https://a.b/c'\npaths = []\n", "`paths` must be a list"),
        ("address = 'https://a.b/c'\npaths = ['src']\n", "'src' must be a string that starts"),
        ("address = 'a'\npaths = ['/a?']\n", "'*' is the only wildcard"),
        ("address = 'a'\npaths = ['/[ab]/']\n", "'*' is the only wildcard"),
        ("address = 'a'\npaths = ['/**/a']\n", "'*' is the only wildcard"),
        ("address = 'a'\npaths = ['/a ']\n", "'*' is the only wildcard"),
        ("address = 'a'\npaths = ['/a\\']\n", "'*' is the only wildcard"),
        ("address = 'https://a.b/c'\npaths = [3]\n", "3 must be a string that starts"),
    ],
)
def test_lint_checks_the_file(toy: Toy, text: str, problem: str) -> None:
    (toy.project / "upstream.toml").write_text(text)
    (found,) = map(str, lint(toy.project))
    assert problem in found
    for command in ("apply", "lint", "check"):
        ran = toy(command)
        assert (ran.code, problem in ran.out + ran.err) == (1, True), ran.err


def test_a_project_without_the_file_is_for_the_upstream_of_the_tool(toy: Toy) -> None:
    (toy.project / "upstream.toml").unlink()
    assert load_series(toy.project).upstream == load_series(ROOT).upstream
    for command in ("lint", "apply", "check"):
        ran = toy(command, *(() if command == "lint" else ("--upstream", str(toy.upstream))))
        assert ran.code == 0, ran.err
    path = toy.workspace / min(load_series(toy.project).patches[-1].paths)
    path.write_text(path.read_text() + "more\n")
    assert toy("refresh").code == 0
    assert not (toy.project / "upstream.toml").exists()


def test_the_shipped_file() -> None:
    upstream = load_series(ROOT).upstream
    assert upstream.address == "https://github.com/deepinsight/insightface.git"
    assert "/src/symbols/" in upstream.paths
