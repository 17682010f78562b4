"""``mfn-patch status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    json_option,
    load_project_series,
    project_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json, style

if TYPE_CHECKING:
    from pathlib import Path

_COLOURS = {"applied": "green", "missing": "yellow", "changed": "red", "unknown": "red"}


@click.command(cls=Command, examples=("mfn-patch status",))
@workspace_option
@project_option
@json_option
def status(workspace: Path, project: Path | None, as_json: bool) -> None:
    """Show the pin, the state of each patch, and your edits."""
    from mfn_patcher.patching.workspace import Workspace, compare

    series = load_project_series(project)
    place = Workspace(workspace)
    now = place.status()
    patches = compare(series, now.links)
    if as_json:
        print_json(
            {
                "workspace": str(place.path),
                "address": now.address,
                "pin": {"project": series.pin, "workspace": now.pin},
                "commit": now.commit,
                "patches": [
                    {"patch": name, "state": state, "commit": commit}
                    for name, state, commit in patches
                ],
                "rebasing": now.rebasing,
                "local": {"files": list(now.edits.files), "commits": list(now.edits.commits)},
            }
        )
        return
    echo(f"workspace  {place.path}")
    echo(f"upstream   {now.address or 'your own clone'}")
    moved = "" if now.pin == series.pin else f" (the project has {series.pin[:12]})"
    echo(f"pin        {now.pin[:12] if now.pin else 'nothing applied'}{moved}")
    echo(f"chain      {now.commit or '-'}")
    if now.rebasing:
        echo(f"rebase     onto {now.rebasing[:12]}, to be continued or aborted")
    for name, state, commit in patches:
        echo(f"  {style(f'{state:8}', fg=_COLOURS[state])} {(commit or '')[:12]:12} {name}")
    for path in now.edits.files:
        echo(f"  edited   {path}")
    for commit in now.edits.commits:
        echo(f"  commit   {commit}")
