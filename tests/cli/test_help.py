"""The help of every command: the same parts in the same order, and examples that are right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mfn_patcher.cli import cli
from mfn_patcher.cli.command import Command
from tests.support.command_lines import own_parts, parse
from tests.support.tool import Tool


def walk(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command and group below a group, and the group itself, by its full name."""
    yield name, group
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        assert command is not None
        full = f"{name} {each}".strip()
        if isinstance(command, click.Group):
            yield from walk(command, full)
        else:
            yield full, command


EVERYTHING = dict(walk(cli))
COMMANDS = {n: each for n, each in EVERYTHING.items() if not isinstance(each, click.Group)}
GROUPS = {n: each for n, each in EVERYTHING.items() if isinstance(each, click.Group)}


def parts(text: str) -> dict[str, str]:
    """Return the sections of a help text by their titles, in order."""
    found = re.split(r"^(\S.*):\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2]))


@pytest.mark.parametrize("name", EVERYTHING)
def test_help_is_usage_then_options_then_examples(tool: Tool, name: str) -> None:
    ran = tool(*name.split(), "--help")
    assert ran.code == 0
    usage, _, rest = ran.out.partition("\n\n")
    assert usage.startswith("Usage: ")
    description, _, sections = rest.partition("\n\n")
    assert re.match(r"  [A-Z].*\.$", description.replace("\n", " ")), "a sentence says what it does"
    titles = list(parts(f"\n{sections}"))
    assert titles[-1] == "Examples"
    assert titles.count("Examples") == 1
    options = "Options" if "Options" in titles else "Other options"
    assert "--help" in parts(f"\n{sections}")[options]
    assert "Example:" not in ran.out


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("train", "option '--stage'. Stages to run: numbers, names, or all."),
        ("eval", "option '--model'. Checkpoints, or an exported model."),
        ("new fix", "option '--stack'. Stack to append the patch to."),
        ("init libfoo --upstream foo", "option '--pin'. Commit, tag or branch to patch."),
        ("export", "argument 'PREFIX,EPOCH'."),
        ("data make data/own", "argument 'SOURCE'."),
        ("compare m.onnx a.png", "argument 'B'."),
        ("runs compare last", "argument 'RUN'."),
    ],
)
def test_what_is_missing_is_explained(tool: Tool, line: str, missing: str) -> None:
    name = next(each for each in COMMANDS if line.startswith(each))
    command = COMMANDS[name]
    assert isinstance(command, Command)
    ran = tool(*line.split())
    assert (ran.code, ran.out) == (2, "")
    assert f"Error: Missing {missing} Example: {command.examples[0]}\n" in ran.err


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_example_is_understood(
    tool: Tool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = parts(tool(*name.split(), "--help").out)["Examples"].splitlines()
    calls = [arguments for line in examples for arguments in own_parts(line)]
    assert calls
    assert any(" ".join(arguments).startswith(name) for arguments in calls)
    for arguments in calls:
        parse(arguments, tmp_path)


@pytest.mark.parametrize("name", GROUPS)
def test_no_summary_of_a_command_is_cut(tool: Tool, name: str) -> None:
    out = tool(*name.split(), "--help").out
    cut = [line for line in out.partition("\nOptions:")[2].splitlines() if line.endswith("...")]
    assert not cut, "the first sentence of these docstrings must be shorter"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_verbosity(tool: Tool, name: str) -> None:
    out = tool(*name.split(), "--help").out
    assert "-v, --verbose" in out
    assert "-q, --quiet" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help_of_one_line(name: str) -> None:
    context = click.Context(COMMANDS[name])
    for option in COMMANDS[name].params:
        record = option.get_help_record(context)
        if isinstance(option, click.Option) and record:
            assert record[1].endswith((".", "]")), option.name
            assert len(record[1]) <= 72, option.name


def test_the_examples_are_shown_as_they_are(tool: Tool) -> None:
    # click would wrap them.
    (longest,) = (
        line for line in tool("eval", "--help").out.splitlines() if "--plot roc.png" in line
    )
    assert len(longest) > 80
