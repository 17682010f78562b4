"""``mfn-patch train`` where stack hooks is applied, and where it is not."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from mfn_patcher.cli import cli
from tests.support.repositories import StandIn
from tests.support.shipped import WITHOUT_HOOKS, apply_shipped
from tests.support.tool import Tool

pytestmark = pytest.mark.usefixtures("engines_are_imported_once")


@pytest.mark.parametrize(
    "name", ["train", "doctor", "env", "runs", "log", "plot", "report", "demo"]
)
def test_each_option_has_one_line_of_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command
    for each in command.commands.values() if isinstance(command, click.Group) else [command]:
        context = click.Context(each, info_name=each.name, terminal_width=78)
        lines = each.get_help(context).splitlines()
        options = [param for param in each.get_params(context) if isinstance(param, click.Option)]
        assert len([line for line in lines if line.startswith("  -")]) == len(options)
        assert not [line for line in lines if line.startswith(" " * 8)], "a help text is wrapped"


@pytest.fixture
def workspace(tool: Tool, shipped: StandIn, tmp_path: Path) -> Path:
    return apply_shipped(tool, shipped, tmp_path / "all")


@pytest.mark.long
def test_a_training_has_a_seed(tool: Tool, workspace: Path) -> None:
    ran = tool("train", "-w", workspace, "--stage", "2", "--dry-run")
    line = ran.out.splitlines()[1]
    assert line.endswith("--max-steps 40000 --seed 0")
    assert "# added: --seed 0 — " in ran.out
    options = ("--seed", "7", "--keep", "3")
    ran = tool("train", "-w", workspace, "--stage", "2", "--dry-run", *options)
    assert "--seed 7 --keep 3 --keep-always 20" in ran.out.splitlines()[1]


@pytest.mark.long
def test_without_the_stack_there_is_none(tool: Tool, shipped: StandIn, tmp_path: Path) -> None:
    workspace = apply_shipped(tool, shipped, tmp_path / "less", *WITHOUT_HOOKS)
    ran = tool("train", "-w", workspace, "--stage", "2", "--dry-run")
    assert ran.out.splitlines()[1].endswith("--max-steps 40000")
    for option in (["--resume"], ["--seed", "0"], ["--keep", "1"]):
        ran = tool("train", "-w", workspace, "--stage", "2", *option)
        assert ran.code == 1
        assert "require stack hooks" in ran.err
        assert "mfn-patch apply" in ran.err


def test_nothing_to_resume(tool: Tool, workspace: Path) -> None:
    for option in ([], ["--dry-run"]):
        ran = tool("train", "-w", workspace, "--stage", "2", "--resume", *option)
        assert ran.code == 1
        assert "there is no run of stage 2 (softmax) to resume" in ran.err
    assert not (workspace / "runs").exists()
