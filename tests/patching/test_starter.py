"""``init``: a project for any upstream, in a new folder or beside what is there."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfn_patcher.patching.git import Repository, Result
from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.project import read_upstream
from mfn_patcher.patching.series import load_series
from tests.support.repositories import ROOT, commit, git
from tests.support.tool import Tool
from tests.support.toy import LINES, snapshot

CI = ROOT / "docs" / "ci.md"
pytestmark = pytest.mark.long

FILES = {
    *(".gitattributes", ".gitignore", "README.md", ".github/workflows/patches.yml"),
    *("pinned_commit.txt", "upstream.toml", "patches/series"),
}


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A repository with a tag, a branch and a newer commit."""
    place = tmp_path / "prog.git"
    place.mkdir()
    git(place, "init", "--quiet", "--initial-branch=trunk")
    (place / "prog.c").write_text("".join(LINES))
    commit(place, "first")
    git(place, "tag", "--annotate", "-m", "x", "v1.0")
    git(place, "branch", "stable")
    (place / "prog.c").write_text("".join(["above\n", *LINES]))
    commit(place, "second")
    return place


def revision(folder: Path, name: str) -> str:
    return git(folder, "rev-parse", f"{name}^{{commit}}").decode().strip()


def files(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if path.parts[0] != ".git"}


def test_a_project_from_nothing_to_a_drift_check(
    tool: Tool, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "my patches"
    ran = tool("init", project, "--upstream", upstream, "--pin", "v1.0")
    assert ran.code == 0, ran.err
    first = revision(upstream, "v1.0")
    assert f"The pin is {first} (v1.0).\n" in ran.out
    assert f"cd '{project}', then run" in ran.out
    assert "CI cannot reach" in ran.err
    assert files(project) == FILES
    assert lint(project) == []
    series = load_series(project)
    assert (series.pin, series.upstream.address) == (first, str(upstream))
    assert yaml.safe_load((project / ".github/workflows/patches.yml").read_text())["jobs"]

    monkeypatch.chdir(project)
    ran = tool("apply")
    assert (ran.code, "insightface" in ran.out + ran.err) == (0, False), ran.err
    assert tool("check").code == 0
    (project / "prog" / "prog.c").write_text("".join([*LINES[:20], "mine\r\n", *LINES[20:]]))
    ran = tool("new", "it", "--stack", "own", "--subject", "Do it", "--author", "A <a@b>")
    assert ran.code == 0, ran.err
    assert tool("check").code == 0
    ran = tool("check", "--against", "upstream")
    assert (ran.code, "offset +1" in ran.out) == (0, True)
    # Upstreams may have a folder of this name; only insightface has trained models there.
    (project / "prog" / "models").mkdir()
    (project / "prog" / "models" / "new.c").write_text("new\n")
    assert git(project / "prog", "status", "--porcelain") == b"?? models/\n"
    # What git would take into the project's repository.
    git(project, "-c", "core.autocrlf=true", "add", "--all")
    listed = set(git(project, "ls-files").decode().split())
    assert listed == {*FILES, "patches/own/0001-it.patch"}
    stored = git(project, "show", ":patches/own/0001-it.patch")
    assert stored == (project / "patches/own/0001-it.patch").read_bytes()
    assert b"+mine\r\n" in stored
    for command in (("train", "--stage", "all"), ("verify",)):
        ran = tool(*command)
        assert ran.code == 1
        assert "the recipes train nothing else" in ran.err


def test_a_project_without_patches(tool: Tool, upstream: Path, tmp_path: Path) -> None:
    project, workspace = tmp_path / "p", tmp_path / "w"
    assert tool("init", project, "--upstream", upstream, "--pin", "v1.0").code == 0
    places = ("--project", project, "-w", workspace)
    assert tool("apply", *places).code == 0
    (workspace / "prog.c").write_text("mine\n")
    for command in (("refresh",), ("diff", "x"), ("apply", "--stack", "x")):
        ran = tool(*command, *places)
        assert (ran.code, "patches/series lists no patches" in ran.err) == (1, True), ran.err


@pytest.mark.parametrize("name", ["stable", "upstream", "full", "short", "refs/tags/v1.0"])
def test_the_pin_is_resolved(tool: Tool, upstream: Path, tmp_path: Path, name: str) -> None:
    first = revision(upstream, "v1.0")
    given = {"full": first, "short": first[:8]}.get(name, name)
    assert tool("init", tmp_path / "p", "--upstream", upstream, "--pin", given).code == 0
    wanted = revision(upstream, "HEAD") if name == "upstream" else first
    assert (tmp_path / "p" / "pinned_commit.txt").read_text() == f"{wanted}\n"


def test_nothing_is_overwritten(tool: Tool, upstream: Path, tmp_path: Path) -> None:
    project = tmp_path / "p"
    project.mkdir()
    git(project, "init", "--quiet")
    (project / "README.md").write_text("mine\n")
    command = ("init", project, "--upstream", upstream, "--pin", "v1.0")
    ran = tool(*command)
    assert ran.code == 0, ran.err
    assert "kept:    " in ran.out
    assert "made:" not in ran.out
    assert (project / "README.md").read_text() == "mine\n"
    before = snapshot(project)
    assert tool(*command).code == 0
    again = tool("init", project, "--upstream", upstream, "--pin", "upstream")
    assert (again.code, "pinned_commit.txt already exists" in again.err) == (1, True)
    assert snapshot(project) == before


def test_the_workflow_names_the_tool(
    tool: Tool, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = "uses: {}/.github/workflows/check.yml@{}\n"
    texts = []
    for number, place in enumerate((None, ("them/mfn-patch", "1234"))):
        monkeypatch.setattr("mfn_patcher.patching.starter.on_github", lambda found=place: found)
        project = tmp_path / str(number)
        assert tool("init", project, "--upstream", upstream, "--pin", "v1.0").code == 0
        texts.append((project / ".github" / "workflows" / "patches.yml").read_text())
    assert called.format("OWNER/mfn-patch", "REF") in texts[0]
    assert called.format("them/mfn-patch", "1234") in texts[1]
    assert "OWNER" not in texts[1]
    # As in the documents, which linters check.
    (example,) = re.findall(r"jobs:\n  check:\n    (uses: .*)\n", CI.read_text())
    assert example in texts[0]


def test_inside_of_a_repository(tool: Tool, upstream: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    ran = tool("init", tmp_path / "deep" / "er", "--upstream", upstream, "--pin", "v1.0")
    assert ran.code == 0, ran.err
    assert "No workflow was written" in ran.out
    assert files(tmp_path / "deep" / "er") == FILES - {".github/workflows/patches.yml"}
    assert not (tmp_path / "deep" / "er" / ".git").exists()


def test_killed_at_every_moment(
    tool: Tool, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next command completes what a killed one has written, even half of a file."""
    command = ("init", tmp_path / "p", "--upstream", upstream, "--pin", "v1.0")
    assert tool(*command).code == 0
    wanted = snapshot(tmp_path / "p")
    write, run = Path.write_text, Repository.run
    left = 0

    def tick(place: Path) -> None:
        nonlocal left
        left -= place.is_relative_to(tmp_path / "p")
        if left < 0:
            raise KeyboardInterrupt

    def writing(path: Path, text: str, **options: str) -> int:
        for part in ("", text[: len(text) // 2]):
            tick(path)
            write(path, part, **options)
        tick(path)
        return write(path, text, **options)

    def running(repository: Repository, *arguments: str, **options: Any) -> Result:
        result = run(repository, *arguments, **options)
        tick(repository.work_tree)
        return result

    for moments in itertools.count():
        shutil.rmtree(tmp_path / "p")
        left = moments
        with monkeypatch.context() as patching:
            patching.setattr(Path, "write_text", writing)
            patching.setattr(Repository, "run", running)
            code = tool(*command).code
        if code != 130:
            break
        again = tool(*command)
        assert (again.code, snapshot(tmp_path / "p")) == (0, wanted), again.err
    assert (code, moments) == (0, 3 * len(FILES) + 1)


@pytest.mark.parametrize("name", ["upstream.toml", "patches/series", "patches/other"])
def test_parts_of_another_project(tool: Tool, upstream: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "p" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine\n")
    ran = tool("init", tmp_path / "p", "--upstream", upstream, "--pin", "v1.0")
    assert (ran.code, f"{file} already exists" in ran.err) == (1, True), ran.err
    assert files(tmp_path / "p") == {name}


@pytest.mark.parametrize("name", ["人脸", "😀", 'it\'s "quoted" \\'])
def test_an_upstream_of_an_unusual_name(
    tool: Tool, upstream: Path, tmp_path: Path, name: str
) -> None:
    address = upstream.rename(upstream.parent / name)
    assert tool("init", tmp_path / "p", "--upstream", address, "--pin", "v1.0").code == 0
    assert read_upstream(tmp_path / "p").address == str(address)


@pytest.mark.parametrize(
    ("address", "pin", "message"),
    [
        ("prog.git", "v2.0", "no branch, tag or commit 'v2.0'"),
        ("prog.git", "0" * 40, "could not be fetched"),
        ("file:///nowhere/at/all", "v1.0", "could not be fetched"),
        ("ext::sh -c id", "v1.0", "it names a program"),
        # Workers cannot send the byte, so it must not be in the test's name, nor in its log.
        pytest.param("/\udcff", "v1.0", "it is not UTF-8", id="not UTF-8"),
    ],
)
def test_refused(tool: Tool, upstream: Path, address: str, pin: str, message: str) -> None:
    project = upstream.parent / "p"
    named = upstream if address == "prog.git" else address
    ran = tool("init", project, "--upstream", named, "--pin", pin, "--quiet")
    assert (ran.code, message in ran.err) == (1, True), ran.err
    assert not project.exists()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/a/prog.git", "prog"),
        ("https://example.org/a/prog/", "prog"),
        ("git@example.org:prog.git", "prog"),
        ("/home/me/prog/.git", "prog"),
        ("https://example.org/a/patches.git", "upstream"),
        ("https://example.org/a/..", "upstream"),
    ],
)
def test_the_workspace_is_named_as_upstream(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, name: str
) -> None:
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "series").write_text("")
    (tmp_path / "pinned_commit.txt").write_text("0" * 40 + "\n")
    (tmp_path / "upstream.toml").write_text(f"address = '{address}'\npaths = ['/*']\n")
    ran = tool("status", "--project", tmp_path)
    assert f"there is no workspace at {Path.cwd() / name}\n" in ran.err
    monkeypatch.chdir(tmp_path)
    assert f"there is no workspace at {tmp_path / name}\n" in tool("revert").err


@pytest.mark.parametrize(
    "command",
    [
        ("import", "x.patch", "--stack", "own"),
        ("new", "x", "--stack", "own"),
        ("refresh", "x"),
        ("rebase", "--onto", "v2"),
    ],
)
def test_a_checkout_is_changed_only_from_within(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.patch").write_text("")
    refused = tool(*command)
    assert (refused.code, f"{tmp_path} contains no project" in refused.err) == (1, True)
