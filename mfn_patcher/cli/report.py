"""``mfn-patch report``."""

from __future__ import annotations

from pathlib import Path

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import output_option, workspace_option
from mfn_patcher.cli.terminal import echo
from mfn_patcher.progress import task


@click.command(
    short_help="Write an HTML page about a run.",
    cls=Command,
    examples=(
        "mfn-patch report last",
        "mfn-patch report stage3 -o arcface.html",
    ),
)
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@output_option("Page to write, .html.", suffixes=(".html", ".htm"))
@workspace_option
def report(run_name: str, *, output: Path | None, overwrite: bool, workspace: Path) -> None:
    """Write an HTML page about a run.

    The page shows the results next to published ones, the curves, patches, command, environment
    and data set. It is self-contained. By default it is written to report.html in the folder of
    the run, where it replaces an earlier one.
    """
    from mfn_patcher.files import require_new, write
    from mfn_patcher.runs.report import render
    from mfn_patcher.runs.store import find

    if output:
        require_new(output, overwrite=overwrite)
    run = find(workspace, run_name)
    output = output or run.folder / "report.html"
    with task("drawing the page"):
        page = render(run)
    write(output, page.encode(errors="backslashreplace"))
    echo(output)
