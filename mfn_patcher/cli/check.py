"""``mfn-patch check``."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    find_project,
    json_option,
    project_option,
    upstream_option,
)
from mfn_patcher.cli.terminal import echo, echo_exactly, style
from mfn_patcher.drift.formats import FORMATS, renderer
from mfn_patcher.errors import ExitCode

if TYPE_CHECKING:
    from mfn_patcher.drift.findings import DriftReport

_LOG = logging.getLogger(__name__)

# Verdicts on patches by their names in --allow.
_ALLOWED = {"exact": "clean", "offset": "offset", "merged": "merged"}


@click.command(
    cls=Command,
    examples=(
        "mfn-patch check",
        "mfn-patch check --against upstream --history",
    ),
)
@click.option(
    "--against",
    "revisions",
    multiple=True,
    metavar="REV",
    help="Branch, tag or commit to check; upstream is its default branch.",
)
@click.option(
    "--history",
    metavar="FROM..TO",
    is_flag=False,
    flag_value="pin..upstream",
    help="Find the commits that changed verdicts.  [default: pin..upstream]",
)
@click.option(
    "--allow",
    type=click.Choice(list(_ALLOWED)),
    help="Worst verdict still accepted.  [default: exact at the pin, else offset]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="Output format; docs/ci.md describes them.",
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
    address: str | None,
    project: Path | None,
) -> None:
    """Check that the patches still fit upstream.

    Exits with 3 if they drift. Without --against and --history, this runs lint, then checks the
    series at the pin, byte for byte. No workspace is needed or changed.
    """
    from mfn_patcher.drift.check import check as judge_series
    from mfn_patcher.drift.findings import DriftReport
    from mfn_patcher.drift.verdicts import PatchState
    from mfn_patcher.patching.lint import lint
    from mfn_patcher.patching.series import load_series

    form = "json" if as_json else form
    root = find_project(project)
    elsewhere = bool(revisions or history)
    allowed = PatchState(_ALLOWED[allow or ("offset" if elsewhere else "exact")])
    problems = [] if elsewhere else lint(root)
    if problems:
        _show(DriftReport(root, Path.cwd(), allowed, problems), form)
        context.exit(ExitCode.ERROR)
    series = load_series(root)
    ends = None
    if history:
        first, last = (series.pin if name == "pin" else name for name in _ends(history))
        ends = first, last
    address = address or series.upstream.address
    verdicts, walked = judge_series(series, address, revisions, history=ends)
    found = DriftReport(root, Path.cwd(), allowed, (), verdicts, walked)
    _show(found, form)
    if found.drifted:
        context.exit(ExitCode.DRIFT)


def _show(found: DriftReport, form: str) -> None:
    render = renderer(form)
    if form == "text":
        echo(render(found, style=style), nl=False)
    else:
        echo_exactly(render(found))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if form == "github" and summary:
        from mfn_patcher.drift.formats import github

        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(github.summary(found))
        except OSError as error:  # such as in a container that lacks the runner's folder
            _LOG.warning("cannot write the job summary to %s: %s", summary, error.strerror)


def _ends(history: str) -> tuple[str, str]:
    first, dots, last = history.partition("..")
    if not (first and dots and last):
        raise click.UsageError(f"--history must be FROM..TO, not {history!r}.")
    return first, last
