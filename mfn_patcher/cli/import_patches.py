"""``mfn-patch import``."""

from __future__ import annotations

from pathlib import Path

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.authors import author_option, git_user, parse_author
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    Number,
    PathType,
    load_project_series,
    project_option,
    upstream_option,
)
from mfn_patcher.cli.terminal import echo
from mfn_patcher.printable import counted


@click.command(
    "import",
    cls=Command,
    examples=(
        "mfn-patch import debian/patches/series --stack debian",
        "mfn-patch import 0001-fix.patch mails.mbox --stack fixes",
        "mfn-patch import ../fork --branch v1.0..main --stack fork",
    ),
)
@click.argument(
    "sources",
    nargs=-1,
    required=True,
    metavar="SERIES|PATCH|CLONE...",
    type=PathType(exists=True),
)
@click.option(
    "--stack",
    required=True,
    metavar="STACK",
    shell_complete=completion.stacks,
    help="Stack to append the patches to.",
)
@click.option("--branch", metavar="BASE..TIP", help="Commits of CLONE to import.")
@click.option(
    "-p",
    "--strip",
    type=Number(click.IntRange(min=0)),
    default=1,
    show_default=True,
    metavar="N",
    help="Folders to strip from file names in PATCH.",
)
@author_option
@upstream_option
@project_option
def import_patches(
    sources: tuple[Path, ...],
    stack: str,
    branch: str | None,
    strip: int,
    author: str | None,
    address: str | None,
    project: Path | None,
) -> None:
    """Import a quilt series, mails, plain diffs or a branch.

    SERIES is the list of a quilt series, or its folder; PATCH is a mail, a mailbox or a diff. With
    --branch, the commits of a clone are imported. Patches are applied as quilt or git would, and
    stored so that they apply exactly. Nothing changes unless all of them do.
    """
    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.importing.importing import import_patches as import_sources
    from mfn_patcher.patching.importing.sources import read_branch, read_files

    if branch and len(sources) > 1:
        raise click.UsageError("--branch takes a single clone.")
    series = load_project_series(project, writable=True)
    found = read_branch(sources[0], branch) if branch else read_files(sources, strip)
    named = parse_author(author) if author else None
    imported = import_sources(
        series,
        found,
        stack,
        address or series.upstream.address,
        lambda: named or git_user(Repository(series.root)),
    )
    for each in imported:
        echo(f"{each.name or 'left out, no changes:'}  {each.source}")
        for remark in each.remarks:
            echo(f"    {remark}")
    count = sum(each.name is not None for each in imported)
    echo(f"{counted(count, 'patch', 'patches')} imported into {series.root / 'patches'}")
