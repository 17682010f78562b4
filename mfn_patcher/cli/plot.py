"""``mfn-patch plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import output_option, workspace_option
from mfn_patcher.cli.terminal import echo
from mfn_patcher.progress import task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfn_patcher.runs.panels import PlottedRun


@click.command(
    short_help="Plot loss, accuracy, speed and verification.",
    cls=Command,
    examples=(
        "mfn-patch plot last",
        "mfn-patch plot training.log stage3 -o both.svg",
    ),
)
@click.argument(
    "sources",
    metavar="FILE|RUN...",
    nargs=-1,
    required=True,
    shell_complete=completion.runs_or_files,
)
@output_option("Picture to write, .png or .svg.", suffixes=(".png", ".svg"))
@workspace_option
def plot(
    sources: tuple[str, ...], *, output: Path | None, overwrite: bool, workspace: Path
) -> None:
    """Plot training loss, accuracy, speed and verification results over the steps.

    Several logs and runs are drawn on top of each other. Dashed lines are the published results
    for the same loss; dotted lines mark the steps at which the learning rate changes. Without -o, a
    PNG named after the first source is written here.
    """
    from mfn_patcher.files import require_new
    from mfn_patcher.runs.plots import draw

    output = output or Path(f"{Path(sources[0]).stem}.png")
    require_new(output, overwrite=overwrite)
    runs = [run for source in sources for run in _load(source, workspace)]
    with task("drawing the curves"):
        draw(runs, output)
    echo(output)


def _load(source: str, workspace: Path) -> Iterator[PlottedRun]:
    """Yield the runs in a log, or in that of a run."""
    from mfn_patcher.runs.log import read_events
    from mfn_patcher.runs.panels import plotted_runs
    from mfn_patcher.runs.store import find_log
    from mfn_patcher.runs.summary import summarise

    label, path = find_log(workspace, source)
    with path.open("rb") as file:
        yield from plotted_runs(label, summarise(read_events(file), str(path), curves=True))
