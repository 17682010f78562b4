"""``mfn-patch new``."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import load_project_series, project_option, report, workspace_option
from mfn_patcher.cli.terminal import echo
from mfn_patcher.errors import MfnPatchError

if TYPE_CHECKING:
    from pathlib import Path

    from mfn_patcher.patching.git import Repository

_ASKED = {
    "subject": "What the patch does, in at most 72 characters",
    "why": "Why",
    "origin": "Where the change comes from",
    "effect": "What it changes in the result of training",
}


@click.command()
@click.argument("name")
@click.option("--stack", required=True, metavar="STACK", help="The stack it becomes the last of.")
@click.option("--subject", metavar="TEXT", help=f"{_ASKED['subject']}.")
@click.option("--why", metavar="TEXT", help="The reason.")
@click.option("--origin", metavar="TEXT", help=f"{_ASKED['origin']}.")
@click.option("--effect", metavar="TEXT", help=f"{_ASKED['effect']}.")
@click.option("--author", metavar="NAME <ADDRESS>", help="If not the one that git knows you as.")
@workspace_option
@project_option
def new(
    name: str,
    stack: str,
    subject: str | None,
    why: str | None,
    origin: str | None,
    effect: str | None,
    author: str | None,
    workspace: Path,
    project: Path | None,
) -> None:
    """Make a patch of what you edited in the workspace.

    NAME says in small letters, with hyphens, what it does. It becomes the last patch of STACK;
    patches of later stacks are carried over. What the header needs is asked for, unless options
    give it. New files count once `git add` knows them.

    \b
    Example:
      mfn-patch new log-the-seed --stack local
    """
    from mfn_patcher.patching import edit as mend
    from mfn_patcher.patching import mail
    from mfn_patcher.patching.workspace import Workspace

    series = load_project_series(project, writable=True)
    place = Workspace(workspace, report)
    place.must_exist()
    name_and_address = _parse_author(author) if author else _who(place.repository)
    given = {"subject": subject, "why": why, "origin": origin, "effect": effect}
    missing = [f"--{name}" for name, text in given.items() if not text]
    if missing and not sys.stdin.isatty():
        raise click.UsageError(f"Give {', '.join(missing)}, for nobody can be asked here.")
    header = {name: text or click.prompt(_ASKED[name]) for name, text in given.items()}
    date = datetime.now(timezone.utc).replace(microsecond=0)
    heading = mend.Heading(
        mail.format_person(*name_and_address),
        date,
        header.pop("subject"),
        {name.capitalize(): text for name, text in header.items()},
    )
    made = mend.start(place, series, name, stack, heading)
    echo(f"written: {series.root / 'patches' / made}")


def _parse_author(text: str) -> tuple[str, str]:
    from mfn_patcher.patching import mail

    name, address = mail.parse_person(text)
    if not name or not address:
        raise click.UsageError(f"--author takes 'Name <address>', not {text!r}.")
    return name, address


def _who(repository: Repository) -> tuple[str, str]:
    name, address = (
        " ".join(repository.out("config", f"user.{key}", expected=(0, 1)).split())
        for key in ("name", "email")
    )
    if not name or not address:
        raise MfnPatchError(
            "git does not know who you are",
            remedy="Say it with --author 'Name <address>', or to git with `git config user.name` "
            "and `git config user.email`.",
        )
    return name, address
