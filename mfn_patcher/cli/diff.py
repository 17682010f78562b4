"""``mfn-patch diff``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import load_project_series, project_option, workspace_option
from mfn_patcher.cli.terminal import echo, echo_exactly, style

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    cls=Command,
    examples=(
        "mfn-patch diff --stat",
        "mfn-patch diff recipe/0002",
        "mfn-patch diff --local > mine.patch",
    ),
)
@click.argument("patch", required=False, shell_complete=completion.patches)
@workspace_option
@click.option("--stat", is_flag=True, help="Show only the number of changed lines per file.")
@click.option("--local", is_flag=True, help="Show your own changes on top of the patches.")
@project_option
def diff(patch: str | None, workspace: Path, stat: bool, local: bool, project: Path | None) -> None:
    """Show the changes of all patches, or of PATCH.

    Piped output is a plain unified diff for `git apply`.
    """
    from mfn_patcher.patching.workspace import Workspace

    if patch and local:
        raise click.UsageError("PATCH and --local are mutually exclusive.")
    name = load_project_series(project).find(patch).name if patch else None
    output = Workspace(workspace).diff(patch=name, local=local, stat=stat)
    if sys.stdout.isatty() and not stat:
        echo(_coloured(output), nl=False)
    else:
        echo_exactly(output)


def _coloured(output: bytes) -> str:
    """Colour a diff as git does; git's own colours could not be told from file contents."""
    lines = []
    in_frame = True
    for line in output.decode(errors="surrogateescape").split("\n"):
        if line.startswith("diff --git "):
            in_frame = True
        if line.startswith("@@ "):
            in_frame = False
            place, mark, around = line.partition(" @@")
            lines.append(style(f"{place}{mark}", fg="cyan") + around)
        elif in_frame and line:
            lines.append(style(line, bold=True))
        elif line.startswith(("-", "+")):
            lines.append(style(line, fg="red" if line[0] == "-" else "green"))
        else:
            lines.append(line)
    return "\n".join(lines)
