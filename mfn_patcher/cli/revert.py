"""``mfn-patch revert``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import workspace_option
from mfn_patcher.cli.terminal import echo

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=Command, examples=("mfn-patch revert",))
@workspace_option
@click.option("--force", is_flag=True, help="Save your edits as a patch file and overwrite them.")
def revert(workspace: Path, force: bool) -> None:
    """Move the workspace back to the pinned commit, without patches."""
    from mfn_patcher.patching.applying import revert as revert_to_pin
    from mfn_patcher.patching.workspace import Workspace

    place = Workspace(workspace)
    outcome = revert_to_pin(place, force=force)
    if outcome.saved:
        echo(f"Saved your changes as {outcome.saved}")
    done = "is now at" if outcome.changed else "was already at"
    echo(f"{place.path} {done} the pin, {outcome.commit[:12]}.")
