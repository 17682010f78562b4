"""Command lines of the tool as people write them, in documents and in help: finding and parsing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from mfn_patcher.cli import cli
from mfn_patcher.cli.options import PathType

# The tool's part of a line: behind a launcher, in $(...) or after a prompt; before > or &&.
_OWN = re.compile(r"(?:^|[\s(])mfn-patch((?:\s+(?:\"[^\"]*\"|'[^']*'|[^\s&|>;)]+))+)")


class Parsed(NamedTuple):
    """A command line as click understands it."""

    command: click.Command
    context: click.Context


def own_parts(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of the tool in a line of a shell."""
    for found in _OWN.finditer(line):
        yield shlex.split(found[1], comments=True)


def parse(arguments: list[str], folder: Path) -> Parsed:
    """Parse arguments as the tool does, without running it.

    Args:
        arguments: what follows ``mfn-patch``.
        folder: the current folder; files and folders that the arguments name are made in it.

    Raises:
        click.UsageError: the tool would refuse them.
    """
    context = click.Context(cli, info_name="mfn-patch")
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
        context = click.Context(command, parent=context, info_name=name)
    values, _, _ = command.make_parser(context).parse_args(list(arguments))
    # Folders of data sets are shown below /data, where a test must not make any.
    here = [f"{folder}{each}" if each.startswith("/data/") else each for each in arguments]
    for parameter in command.params:
        given = values.get(str(parameter.name))
        if isinstance(parameter.type, PathType) and parameter.type.exists and given is not None:
            for each in given if isinstance(given, (list, tuple)) else (given,):
                _make(folder / str(each).lstrip("/"), parameter.type)
    return Parsed(command, command.make_context(context.info_name, here, parent=context.parent))


def _make(path: Path, kind: PathType) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind.file_okay:
        path.touch()
    else:
        path.mkdir(exist_ok=True)
