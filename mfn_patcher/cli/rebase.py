"""``mfn-patch rebase``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import (
    load_project_series,
    project_option,
    report,
    upstream_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--onto", metavar="REV", help="The new pin: a commit, branch or tag of upstream.")
@click.option("--continue", "resume", is_flag=True, help="Go on with what you mended.")
@click.option("--abort", is_flag=True, help="Bring everything back to what it was.")
@workspace_option
@upstream_option
@project_option
def rebase(
    onto: str | None,
    resume: bool,
    abort: bool,
    workspace: Path,
    address: str,
    project: Path | None,
) -> None:
    """Carry the whole series to another pin, by 3-way merge where a patch does not fit as it is.

    A patch that needs a decision stops it, with conflict markers in the workspace. Mend the files
    there, then --continue; `git add` or `git rm` settles files that one side does not have. When
    the last patch is carried, pinned_commit.txt and patches/ are written together; nothing of
    them changes before.

    \b
    Example:
      mfn-patch rebase --onto upstream
      mfn-patch rebase --continue
    """
    from mfn_patcher.patching import rebase as rebasing
    from mfn_patcher.patching.workspace import Workspace

    if sum([onto is not None, resume, abort]) != 1:
        raise click.UsageError("Give one of --onto, --continue and --abort.")
    series = load_project_series(project, writable=True)
    place = Workspace(workspace, report)
    place.must_exist()
    if abort:
        pin = rebasing.abort(place)
        echo(f"{place.path} is on {pin[:12]} again, as before.")
        return
    if onto is None:
        done = rebasing.resume(place, series)
    else:
        done = rebasing.begin(place, series, address, onto)
        if done.pin == series.pin:
            echo(f"Nothing to do: the pin is {done.pin[:12]} already.")
            return
    for name in done.changed:
        echo(f"written: {series.root / 'patches' / name}")
    for name in done.dropped:
        echo(f"dropped: {name}, of which nothing is left")
    for old, name in done.renamed.items():
        echo(f"renamed: {old} is {name} now")
    echo(f"The pin is {done.pin[:12]} now, and the workspace follows.")
