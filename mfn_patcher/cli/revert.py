"""``mfn-patch revert``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import report, workspace_option
from mfn_patcher.cli.terminal import echo

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@workspace_option
@click.option("--force", is_flag=True, help="Save edits of yours as a patch file, and go on.")
def revert(workspace: Path, force: bool) -> None:
    """Bring the workspace back to the pinned commit, without patches.

    \b
    Example:
      mfn-patch revert
    """
    from mfn_patcher.patching.workspace import Workspace

    place = Workspace(workspace, report)
    outcome = place.revert(force=force)
    if outcome.saved:
        echo(f"Your changes were saved: {outcome.saved}")
    done = "is back at" if outcome.changed else "was already at"
    echo(f"{place.path} {done} the pin, {outcome.commit[:12]}.")
