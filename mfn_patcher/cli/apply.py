"""``mfn-patch apply``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import (
    json_option,
    load_project_series,
    project_option,
    report,
    upstream_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@workspace_option
@upstream_option
@click.option(
    "--stack",
    "stacks",
    multiple=True,
    metavar="NAME",
    help="Apply only this stack and those it requires.",
)
@click.option("--without", multiple=True, metavar="PATCH", help="Leave this patch out.")
@click.option("--dry-run", is_flag=True, help="Try the patches, but leave the workspace alone.")
@click.option("--force", is_flag=True, help="Save edits of yours as a patch file, and go on.")
@project_option
@json_option
def apply(
    workspace: Path,
    address: str,
    stacks: tuple[str, ...],
    without: tuple[str, ...],
    dry_run: bool,
    force: bool,
    project: Path | None,
    as_json: bool,
) -> None:
    """Fetch the pinned upstream, where it is missing, and apply the patches to it.

    Each patch becomes a commit on branch mfn-patch of the workspace. Nothing changes unless all
    of them apply. Repeated, it does nothing; after a change of the series it moves to the new one.

    \b
    Example:
      mfn-patch apply
      mfn-patch apply --stack recipe --stack python3 -w /data/insightface
    """
    from mfn_patcher.patching.workspace import Workspace

    series = load_project_series(project)
    patches = series.select(stacks, without)
    for required, by in series.required(stacks).items():
        report(f"stack {by} requires {required}, so that is applied too")
    place = Workspace(workspace, report)
    outcome = place.apply(series, patches, address, force=force, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "workspace": str(place.path),
                "pin": series.pin,
                "commit": outcome.commit,
                "changed": outcome.changed and not dry_run,
                "dry_run": dry_run,
                "saved": outcome.saved and str(outcome.saved),
                "restored": list(outcome.restored),
                "patches": [
                    {
                        "patch": link.patch,
                        "commit": link.commit,
                        "offsets": [
                            {"path": o.path, "hunk": o.hunk, "lines": o.lines} for o in link.offsets
                        ],
                    }
                    for link in outcome.links
                ],
            }
        )
        return
    if outcome.saved:
        echo(f"Your changes were saved: {outcome.saved}")
    for path in outcome.restored:
        echo(f"restored: {path}, which was missing")
    if not outcome.changed and not outcome.restored:
        echo(f"Nothing to do: {len(outcome.links)} patches are applied at {outcome.commit[:12]}.")
    if not outcome.changed:
        return
    for link in outcome.links:
        echo(f"{link.commit[:12]}  {link.patch}")
        for offset in link.offsets:
            echo(f"{'':14}{offset.path}: hunk {offset.hunk} moved by {offset.lines:+d} lines")
    done = "would be applied" if dry_run else "applied"
    echo(f"{len(outcome.links)} patches {done} to {series.pin[:12]} in {place.path}")
