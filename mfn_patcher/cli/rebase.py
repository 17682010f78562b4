"""``mfn-patch rebase``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    load_project_series,
    project_option,
    upstream_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    cls=Command,
    examples=(
        "mfn-patch rebase --onto upstream",
        "mfn-patch rebase --continue",
    ),
)
@click.option("--onto", metavar="REV", help="New pin: a commit, branch or tag of upstream.")
@click.option("--continue", "resume", is_flag=True, help="Continue after resolving conflicts.")
@click.option("--abort", is_flag=True, help="Cancel the rebase and restore the workspace.")
@workspace_option
@upstream_option
@project_option
def rebase(
    onto: str | None,
    resume: bool,
    abort: bool,
    workspace: Path,
    address: str | None,
    project: Path | None,
) -> None:
    """Rebase the whole series onto another pin.

    A conflict stops the rebase, with conflict markers in the workspace. Edit the files there, use
    `git add` or `git rm` for files that one side does not have, then --continue. The files of the
    project change together, when the last patch is done.
    """
    from mfn_patcher.patching import rebase as rebasing
    from mfn_patcher.patching.workspace import Workspace

    if sum([onto is not None, resume, abort]) != 1:
        raise click.UsageError("Pass one of --onto, --continue and --abort.")
    series = load_project_series(project, writable=True)
    place = Workspace(workspace)
    place.check_exists()
    if abort:
        pin = rebasing.abort(place)
        echo(f"{place.path} is back at {pin[:12]}.")
        return
    if onto is None:
        done = rebasing.resume(place, series)
    else:
        done = rebasing.begin(place, series, address or series.upstream.address, onto)
        if done.pin == series.pin:
            echo(f"Nothing to do: the pin is already {done.pin[:12]}.")
            return
    for name in done.changed:
        echo(f"written: {series.root / 'patches' / name}")
    for name in done.dropped:
        echo(f"dropped: {name}, which has no changes left")
    for old, name in done.renamed.items():
        echo(f"renamed: {old} to {name}")
    echo(f"The pin is now {done.pin[:12]}, in the project and the workspace.")
