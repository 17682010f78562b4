"""``mfn-patch apply``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    json_option,
    load_project_series,
    project_option,
    upstream_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json
from mfn_patcher.printable import counted

if TYPE_CHECKING:
    from pathlib import Path

    from mfn_patcher.patching.applying import Outcome
    from mfn_patcher.patching.series import Series
    from mfn_patcher.patching.workspace import Workspace

_LOG = logging.getLogger(__name__)


@click.command(
    cls=Command,
    examples=(
        "mfn-patch apply",
        "mfn-patch apply --stack recipe --stack python3 -w /data/insightface",
    ),
)
@workspace_option
@upstream_option
@click.option(
    "--stack",
    "stacks",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.stacks,
    help="Apply only this stack and those that it requires; repeatable.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="PATCH",
    shell_complete=completion.patches,
    help="Leave this patch out; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Try the patches without changing the workspace.")
@click.option("--force", is_flag=True, help="Save your edits as a patch file and overwrite them.")
@project_option
@json_option
def apply(
    workspace: Path,
    address: str | None,
    stacks: tuple[str, ...],
    without: tuple[str, ...],
    dry_run: bool,
    force: bool,
    project: Path | None,
    as_json: bool,
) -> None:
    """Fetch the pinned upstream if needed, and apply the patches.

    Each patch becomes a commit on branch mfn-patch of the workspace. Nothing changes unless all
    patches apply. If the series has changed since, the workspace moves to the new one.
    """
    from mfn_patcher.patching.applying import apply as apply_patches
    from mfn_patcher.patching.workspace import Workspace

    series = load_project_series(project)
    patches = series.select(stacks, without)
    for required, by in series.required(stacks).items():
        _LOG.info("stack %s requires stack %s, which is also applied", by, required)
    place = Workspace(workspace)
    address = address or series.upstream.address
    outcome = apply_patches(place, series, patches, address, force=force, dry_run=dry_run)
    if as_json:
        print_json(_as_json(place, series, outcome, dry_run=dry_run))
    else:
        _print(place, series, outcome, dry_run=dry_run)


def _as_json(
    workspace: Workspace, series: Series, outcome: Outcome, *, dry_run: bool
) -> dict[str, Any]:
    patches = [
        {
            "patch": link.patch,
            "commit": link.commit,
            "offsets": [{"path": o.path, "hunk": o.hunk, "lines": o.lines} for o in link.offsets],
        }
        for link in outcome.links
    ]
    return {
        "workspace": str(workspace.path),
        "pin": series.pin,
        "commit": outcome.commit,
        "changed": outcome.changed and not dry_run,
        "dry_run": dry_run,
        "saved": outcome.saved and str(outcome.saved),
        "restored": list(outcome.restored),
        "patches": patches,
    }


def _print(workspace: Workspace, series: Series, outcome: Outcome, *, dry_run: bool) -> None:
    if outcome.saved:
        echo(f"Saved your changes as {outcome.saved}")
    for path in outcome.restored:
        echo(f"restored: {path}")
    patches = counted(len(outcome.links), "patch", "patches")
    if not outcome.changed and not outcome.restored:
        echo(f"Nothing to do: {patches} already applied at {outcome.commit[:12]}.")
    if not outcome.changed:
        return
    for link in outcome.links:
        echo(f"{link.commit[:12]}  {link.patch}")
        for offset in link.offsets:
            echo(f"{'':14}{offset.path}: hunk {offset.hunk} moved by {offset.lines:+d} lines")
    done = "would be applied" if dry_run else "applied"
    echo(f"{patches} {done} to {series.pin[:12]} in {workspace.path}")
