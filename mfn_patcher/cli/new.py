"""``mfn-patch new``."""

from __future__ import annotations

import itertools
import sys
import textwrap
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.authors import author_option, git_user, parse_author
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import load_project_series, project_option, workspace_option
from mfn_patcher.cli.terminal import echo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SUBJECT = "What the patch does, in at most 72 characters"


@click.command(cls=Command, examples=("mfn-patch new log-the-seed --stack local",))
@click.argument("name")
@click.option(
    "--stack",
    required=True,
    metavar="STACK",
    shell_complete=completion.stacks,
    help="Stack to append the patch to.",
)
@click.option("--subject", metavar="TEXT", help=f"{_SUBJECT}.")
@click.option(
    "--header",
    "paragraphs",
    multiple=True,
    metavar="NAME=TEXT",
    help="Paragraph of the header, such as Why=...; repeatable.",
)
@author_option
@workspace_option
@project_option
def new(
    name: str,
    stack: str,
    subject: str | None,
    paragraphs: tuple[str, ...],
    author: str | None,
    workspace: Path,
    project: Path | None,
) -> None:
    """Make a patch of your edits in the workspace.

    NAME says what the patch does, in lower case letters and hyphens. It becomes the last patch of
    STACK; patches of later stacks are updated as needed. You are asked for the subject and for the
    paragraphs that the project requires, unless options give them. `git add` new files first.
    """
    from mfn_patcher.patching import edit
    from mfn_patcher.patching.patchfile import Header
    from mfn_patcher.patching.workspace import Workspace

    series = load_project_series(project, writable=True)
    place = Workspace(workspace)
    place.check_exists()
    name_and_address = parse_author(author) if author else git_user(place.repository)
    given = dict(map(_parse_paragraph, paragraphs))
    missing = [f"--header {each}=..." for each in series.upstream.header if each not in given]
    missing = [*([] if subject else ["--subject"]), *missing]
    if missing and not sys.stdin.isatty():
        raise click.UsageError(f"This is not a terminal, so pass {', '.join(missing)}.")
    subject = subject or click.prompt(_SUBJECT)
    for each, question in series.upstream.header.items():
        given[each] = given.get(each) or click.prompt(question)
    date = datetime.now(timezone.utc).replace(microsecond=0)
    header = Header(*name_and_address, date, " ".join(subject.split()), _body(given))
    made = edit.new(place, series, name, stack, header)
    echo(f"written: {series.root / 'patches' / made}")


def _parse_paragraph(text: str) -> tuple[str, str]:
    name, equals, words = text.partition("=")
    if not name or not equals or not words.strip():
        raise click.UsageError(f"--header must be NAME=TEXT, not {text!r}.")
    return name, words


def _body(paragraphs: Mapping[str, str]) -> str:
    wrap = textwrap.TextWrapper(
        72, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False
    ).wrap
    lines = (wrap(f"{name}: {text}") for name, text in paragraphs.items())
    return "\n".join(itertools.chain.from_iterable(lines))
