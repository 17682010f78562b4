"""``mfn-patch new``."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import load_project_series, project_option, workspace_option
from mfn_patcher.cli.terminal import echo
from mfn_patcher.errors import MfnPatchError

if TYPE_CHECKING:
    from pathlib import Path

    from mfn_patcher.patching.git import Repository

_ASKED = {
    "subject": "What the patch does, in at most 72 characters",
    "why": "Why it is needed",
    "origin": "Where the change comes from",
    "effect": "How it changes the result of training",
}


@click.command()
@click.argument("name")
@click.option("--stack", required=True, metavar="STACK", help="Stack to append the patch to.")
@click.option("--subject", metavar="TEXT", help=f"{_ASKED['subject']}.")
@click.option("--why", metavar="TEXT", help=f"{_ASKED['why']}.")
@click.option("--origin", metavar="TEXT", help=f"{_ASKED['origin']}.")
@click.option("--effect", metavar="TEXT", help=f"{_ASKED['effect']}.")
@click.option(
    "--author",
    metavar="NAME <ADDRESS>",
    help="Author of the patch.  [default: git's user.name and user.email]",
)
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
    """Make a patch of your edits in the workspace.

    NAME says what the patch does, in lower case letters and hyphens. It becomes the last patch of
    STACK; patches of later stacks are updated as needed. You are asked for parts of the header
    that no option gives. `git add` new files first.

    \b
    Example:
      mfn-patch new log-the-seed --stack local
    """
    from mfn_patcher.patching import edit, mail
    from mfn_patcher.patching.workspace import Workspace

    series = load_project_series(project, writable=True)
    place = Workspace(workspace)
    place.check_exists()
    name_and_address = _parse_author(author) if author else _who(place.repository)
    given = {"subject": subject, "why": why, "origin": origin, "effect": effect}
    missing = [f"--{name}" for name, text in given.items() if not text]
    if missing and not sys.stdin.isatty():
        raise click.UsageError(f"This is not a terminal, so pass {', '.join(missing)}.")
    header = {name: text or click.prompt(_ASKED[name]) for name, text in given.items()}
    date = datetime.now(timezone.utc).replace(microsecond=0)
    heading = edit.Heading(
        mail.format_person(*name_and_address),
        date,
        header.pop("subject"),
        {name.capitalize(): text for name, text in header.items()},
    )
    made = edit.new(place, series, name, stack, heading)
    echo(f"written: {series.root / 'patches' / made}")


def _parse_author(text: str) -> tuple[str, str]:
    from mfn_patcher.patching import mail

    name, address = mail.parse_person(text)
    if not name or not address:
        raise click.UsageError(f"--author must be 'Name <address>', not {text!r}.")
    return name, address


def _who(repository: Repository) -> tuple[str, str]:
    name, address = (
        " ".join(repository.out("config", f"user.{key}", expected=(0, 1)).split())
        for key in ("name", "email")
    )
    if not name or not address:
        raise MfnPatchError(
            "git has no name and address for you",
            remedy="Pass --author 'Name <address>', or set them with `git config user.name` and "
            "`git config user.email`.",
        )
    return name, address
