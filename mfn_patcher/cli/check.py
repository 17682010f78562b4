"""``mfn-patch check``."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import (
    find_project,
    json_option,
    project_option,
    report,
    upstream_option,
)
from mfn_patcher.cli.terminal import echo, echo_exactly, style
from mfn_patcher.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfn_patcher.drift.findings import Report

# What --allow calls a patch verdict; the pin allows `exact` alone.
_ALLOWED = {"exact": "clean", "offset": "offset", "merged": "merged"}


@click.command()
@click.option(
    "--against",
    "revisions",
    multiple=True,
    metavar="REV",
    help="A branch, tag or commit id of upstream; upstream is its default branch.",
)
@click.option(
    "--history",
    metavar="FROM..TO",
    is_flag=False,
    flag_value="pin..upstream",
    help="Also find the commits at which verdicts changed; by default from the pin to upstream.",
)
@click.option(
    "--allow",
    type=click.Choice(list(_ALLOWED)),
    help="The worst that is no drift.  [default: exact on the pin, offset elsewhere]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github", "junit", "sarif"]),
    default="text",
    show_default=True,
    help="For people, for programs, as annotations of a GitHub workflow, for test reports of CI "
    "servers, or for code scanning.",
)
@json_option
@upstream_option
@project_option
@click.pass_context
def check(
    context: click.Context,
    revisions: tuple[str, ...],
    history: str | None,
    allow: str | None,
    form: str,
    as_json: bool,
    address: str,
    project: Path | None,
) -> None:
    """Check whether the patches still fit upstream; exit with 3 if they drift.

    Without --against and --history: lint, then the whole series on the pin, to the byte. Nothing
    is patched and no workspace is needed.

    \b
    Example:
      mfn-patch check
      mfn-patch check --against upstream --history
    """
    from mfn_patcher.drift import judge as drift
    from mfn_patcher.drift.findings import Report
    from mfn_patcher.patching.lint import lint
    from mfn_patcher.patching.series import load_series

    form = "json" if as_json else form
    root = find_project(project)
    elsewhere = bool(revisions or history)
    allowed = drift.PatchState(_ALLOWED[allow or ("offset" if elsewhere else "exact")])
    problems = [] if elsewhere else lint(root)
    if problems:
        _show(Report(root, Path.cwd(), allowed, problems), form)
        context.exit(ExitCode.ERROR)
    series = load_series(root)
    ends = None
    if history:
        first, last = (series.pin if name == "pin" else name for name in _ends(history))
        ends = first, last
    verdicts, walked = drift.check(series, address, revisions, report, history=ends)
    found = Report(root, Path.cwd(), allowed, (), verdicts, walked)
    _show(found, form)
    if found.drifted:
        context.exit(ExitCode.DRIFT)


def _show(found: Report, form: str) -> None:
    from mfn_patcher.drift.formats import as_json, github, junit, sarif, text

    renderers: dict[str, Callable[[Report], str]] = {
        "text": partial(text.render, style=style),
        "json": as_json.render,
        "github": github.render,
        "junit": junit.render,
        "sarif": sarif.render,
    }
    if form == "text":
        echo(renderers[form](found), nl=False)
    else:
        echo_exactly(renderers[form](found))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if form == "github" and summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(github.summary(found))


def _ends(history: str) -> tuple[str, str]:
    first, dots, last = history.partition("..")
    if not (first and dots and last):
        raise click.UsageError(f"--history takes FROM..TO, not {history!r}.")
    return first, last
