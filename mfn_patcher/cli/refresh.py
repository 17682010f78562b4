"""``mfn-patch refresh``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import load_project_series, project_option, workspace_option
from mfn_patcher.cli.terminal import echo

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=Command, examples=("mfn-patch refresh recipe/0002",))
@click.argument("patch", required=False, shell_complete=completion.patches)
@workspace_option
@project_option
def refresh(patch: str | None, workspace: Path, project: Path | None) -> None:
    """Add your edits in the workspace to PATCH (default: the last one).

    Later patches are updated as needed; headers do not change. `git add` new files first.
    """
    from mfn_patcher.patching import edit
    from mfn_patcher.patching.workspace import Workspace

    series = load_project_series(project, writable=True)
    chosen = series.find(patch)
    place = Workspace(workspace)
    place.check_exists()
    renewed = edit.refresh(place, series, chosen)
    if not renewed:
        echo("Nothing to do: there are no edits on top of the patches.")
    for name in renewed:
        echo(f"written: {series.root / 'patches' / name}")
