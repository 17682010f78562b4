"""``mfn-patch diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import (
    is_terminal,
    load_project_series,
    project_option,
    workspace_option,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("patch", required=False)
@workspace_option
@click.option("--stat", is_flag=True, help="Only count the changed lines of each file.")
@click.option("--local", is_flag=True, help="What you changed on top of the patches.")
@project_option
def diff(patch: str | None, workspace: Path, stat: bool, local: bool, project: Path | None) -> None:
    """Show what the patches changed, or what PATCH changed.

    In a pipe this is a clean unified diff for `git apply`.

    \b
    Example:
      mfn-patch diff --stat
      mfn-patch diff recipe/0002
      mfn-patch diff --local > mine.patch
    """
    from mfn_patcher.workspace import Workspace

    if patch and local:
        raise click.UsageError("PATCH and --local exclude each other.")
    name = load_project_series(project).find(patch).name if patch else None
    output = Workspace(workspace).diff(patch=name, local=local, stat=stat, colour=is_terminal())
    click.echo(output, nl=False)
