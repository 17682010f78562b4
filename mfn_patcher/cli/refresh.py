"""``mfn-patch refresh``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import load_project_series, project_option, report, workspace_option
from mfn_patcher.cli.terminal import echo

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("patch", required=False)
@workspace_option
@project_option
def refresh(patch: str | None, workspace: Path, project: Path | None) -> None:
    """Put what you edited in the workspace into PATCH, by default the last one.

    The patches above it are carried over, and headers stay. New files count once `git add` knows
    them. Without edits no byte of any patch changes.

    \b
    Example:
      mfn-patch refresh recipe/0002
    """
    from mfn_patcher.patching import edit as mend
    from mfn_patcher.patching.workspace import Workspace

    series = load_project_series(project, writable=True)
    chosen = series.find(patch) if patch else series.patches[-1]
    place = Workspace(workspace, report)
    place.must_exist()
    renewed = mend.refresh(place, series, chosen)
    if not renewed:
        echo("Nothing to do: nothing was edited on top of the patches.")
    for name in renewed:
        echo(f"written: {series.root / 'patches' / name}")
