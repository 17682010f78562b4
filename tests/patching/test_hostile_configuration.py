"""The user's configuration and environment change no byte of any result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.repositories import StandIn, git
from tests.support.tool import Tool

HOSTILE = """
[apply]
	whitespace = fix
	ignoreWhitespace = change
[color]
	ui = always
	diff = always
[commit]
	gpgSign = true
	template = /nowhere
[core]
	autocrlf = true
	eol = crlf
	safecrlf = true
	attributesFile = {home}/attributes
	hooksPath = {home}/hooks
	fsmonitor = {home}/hooks/post-checkout
	quotePath = true
	abbrev = 4
	bigFileThreshold = 1
	commentChar = M
	pager = false
[diff]
	external = /bin/false
	noprefix = true
	mnemonicPrefix = true
	renames = copies
	context = 0
	interHunkContext = 20
	algorithm = patience
	indentHeuristic = false
	suppressBlankEmpty = true
	relative = true
	orderFile = {home}/attributes
	wordRegex = .
[fetch]
	prune = true
	recurseSubmodules = true
[filter "loud"]
	clean = tr a-z A-Z
	smudge = tr a-z A-Z
[i18n]
	commitEncoding = ISO-8859-1
	logOutputEncoding = ISO-8859-1
[init]
	templateDir = {home}/template
	defaultBranch = elsewhere
	defaultObjectFormat = sha256
[log]
	showSignature = true
	date = relative
	decorate = full
[protocol]
	version = 0
[status]
	relativePaths = true
	branch = true
	short = true
	showUntrackedFiles = all
[submodule]
	recurse = true
[trailer]
	separators = "=#"
[user]
	useConfigOnly = true
	name =
"""


@pytest.fixture
def results(tool: Tool, stand_in: StandIn, tmp_path: Path) -> list[object]:
    return collect(tool, stand_in, tmp_path / "plain")


def collect(tool: Tool, stand_in: StandIn, workspace: Path) -> list[object]:
    """Everything that the commands say and leave, but for the workspace's own name."""
    places = ("-w", workspace, "--project", stand_in.project)
    said = [
        tool("apply", *places, "--upstream", stand_in.upstream),
        tool("apply", *places, "--upstream", stand_in.upstream),
        tool("status", *places),
        tool("diff", *places),
        tool("diff", *places, "port/0001"),
        tool("diff", *places, "--stat"),
    ]
    file = workspace / "src" / "table.py"
    file.write_bytes(file.read_bytes() + b"mine \r\n")
    said.append(tool("diff", *places, "--local"))
    said.append(tool("revert", "-w", workspace, "--force"))
    file.write_bytes(file.read_bytes() + b"mine \r\n")
    (saved,) = (workspace / "saved").iterdir()
    texts = [
        (ran.code, ran.out.replace(str(workspace), "W").replace(saved.name, "S")) for ran in said
    ]
    tree = {str(p.relative_to(workspace)): p.read_bytes() for p in workspace.glob("src/**/*.py")}
    return [texts, tree, saved.read_bytes()]


def test_configuration(
    tool: Tool, stand_in: StandIn, tmp_path: Path, results: list[object], hermetic: Path
) -> None:
    (hermetic / ".gitconfig").write_text(HOSTILE.format(home=hermetic))
    (hermetic / "attributes").write_text(
        "* text=auto eol=crlf filter=loud diff=loud working-tree-encoding=UTF-16\n"
    )
    for folder in ("hooks", "template/hooks"):
        hook = hermetic / folder / "post-checkout"
        hook.parent.mkdir(parents=True)
        hook.write_text(f"#!/bin/sh\ntouch '{hermetic}/hooked'\nexit 1\n")
        hook.chmod(0o755)
    (hermetic / "template" / "info").mkdir()
    (hermetic / "template" / "info" / "attributes").write_text("* filter=loud\n")
    assert collect(tool, stand_in, tmp_path / "hostile") == results
    assert not (hermetic / "hooked").exists()


def test_environment(
    tool: Tool,
    stand_in: StandIn,
    tmp_path: Path,
    results: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a hook of another repository, in a shell with everything set."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    for name, value in {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / "index"),
        "GIT_OBJECT_DIRECTORY": str(other / "objects"),
        "GIT_EXTERNAL_DIFF": "/bin/false",
        "GIT_DIFF_OPTS": "--unified=0",
        "GIT_DEFAULT_HASH": "sha256",
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00",
        "GIT_COMMITTER_NAME": "Somebody",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NAMESPACE": "elsewhere",
        "GIT_CONFIG_PARAMETERS": "'diff.noprefix'='true'",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "diff.noprefix",
        "GIT_CONFIG_VALUE_0": "true",
        "TZ": "Asia/Shanghai",
        "LANG": "zh_CN.UTF-8",
        "LC_ALL": "zh_CN.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    found = collect(tool, stand_in, tmp_path / "hostile")
    monkeypatch.undo()
    assert found == results
    assert not (other / "index").exists()
