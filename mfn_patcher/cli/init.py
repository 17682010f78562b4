"""``mfn-patch init``."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import PathType
from mfn_patcher.cli.terminal import echo
from mfn_patcher.remedies import as_typed

_LOG = logging.getLogger(__name__)


@click.command(
    cls=Command,
    examples=(
        "mfn-patch init unzip --upstream https://git.example.org/unzip.git --pin v6.0",
        "mfn-patch init . --upstream ../clone --pin 4bc813215a46",
    ),
)
@click.argument("folder", metavar="DIR", type=PathType(file_okay=False))
@click.option("--upstream", required=True, metavar="ADDRESS", help="URL or clone of upstream.")
@click.option("--pin", required=True, metavar="REV", help="Commit, tag or branch to patch.")
def init(folder: Path, upstream: str, pin: str) -> None:
    """Start a project of patches for any upstream.

    Writes pinned_commit.txt, upstream.toml, an empty patches/series, a README, .gitignore,
    .gitattributes and a GitHub workflow that runs the drift check. Files that exist stay as they
    are. Outside of a git repository, DIR becomes one. A tag or branch is pinned at the commit that
    it names now.
    """
    from mfn_patcher.patching.project import resolve_address
    from mfn_patcher.patching.starter import WORKFLOW, start

    address = resolve_address(upstream)
    _LOG.info("fetching %s from %s", pin, address)
    started = start(folder, address, pin)
    for path in started.written:
        echo(f"written: {folder / path}")
    for path in started.kept:
        echo(f"kept:    {folder / path}")
    if started.repository:
        echo(f"made:    {folder / '.git'}")
    if WORKFLOW not in (*started.written, *started.kept):
        echo("No workflow was written: it belongs at the top of the repository. See docs/ci.md.")
    named = "" if pin == started.pin else f" ({pin})"
    echo(f"The pin is {started.pin}{named}.")
    if Path(address).is_absolute():
        _LOG.info("CI cannot reach %s: write a public address to upstream.toml", address)
    place = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))}, then "
    then = f"run `mfn-patch import`, or `mfn-patch apply` and edit {started.upstream.name}/"
    echo(as_typed(f"Next: {place}{then}."))
