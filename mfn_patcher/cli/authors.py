"""Who a patch is from: ``--author``, or the user that git knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.errors import MfnPatchError

if TYPE_CHECKING:
    from mfn_patcher.patching.git import Repository

author_option = click.option(
    "--author",
    metavar="NAME <ADDRESS>",
    help="Author of the patch.  [default: git's user.name and user.email]",
)


def parse_author(text: str) -> tuple[str, str]:
    """Return name and address of ``Name <address>``, or raise a usage error."""
    from mfn_patcher.patching import mail

    try:
        name, address = mail.parse_person(text)
    except mail.MailError:
        name = address = ""
    if not name or not address:
        raise click.UsageError(f"--author must be 'Name <address>', not {text!r}.")
    return name, address


def git_user(repository: Repository) -> tuple[str, str]:
    """Return the user's name and address according to git.

    Raises:
        MfnPatchError: git does not know them.
    """
    from mfn_patcher.patching import mail

    name, address = (
        " ".join(repository.out("config", f"user.{key}", expected=(0, 1)).split())
        for key in ("name", "email")
    )
    if not mail.in_commit(name) or not mail.in_commit(address):
        raise MfnPatchError(
            "git has no name and address for you",
            remedy="Pass --author 'Name <address>', or set them with `git config user.name` and "
            "`git config user.email`.",
        )
    return name, address
