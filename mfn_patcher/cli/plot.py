"""``mfn-patch plot``."""

from __future__ import annotations

from pathlib import Path

import click

from mfn_patcher.cli.options import PathType, in_a_folder, workspace_option
from mfn_patcher.cli.terminal import echo


@click.command()
@click.argument("sources", metavar="FILE|RUN...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=PathType(dir_okay=False, path_type=Path),
    callback=in_a_folder,
    metavar="PATH",
    help="The picture, .png or .svg, replaced if it is there; without this, a new PNG here.",
)
@workspace_option
def plot(sources: tuple[str, ...], output: Path | None, workspace: Path) -> None:
    """Draw training accuracy, speed and verification over the steps.

    Logs and runs are laid over each other, the published figures of the same loss drawn as dashed
    lines, and the steps at which a learning rate begins as dotted ones.

    \b
    Example:
      mfn-patch plot last
      mfn-patch plot training.log stage3 -o both.svg
    """
    from mfn_patcher.runs.log import read_events
    from mfn_patcher.runs.panels import PlotError, PlottedRun, plotted_runs
    from mfn_patcher.runs.plots import draw
    from mfn_patcher.runs.store import find
    from mfn_patcher.runs.summary import summarise

    if output and output.suffix not in (".png", ".svg"):
        raise click.UsageError(f"{output} ends neither in .png nor in .svg.")
    series: list[PlottedRun] = []
    for source in sources:
        if Path(source).is_file():
            with Path(source).open("rb") as file:
                runs = summarise(read_events(file), source, curves=True)
            series += plotted_runs(Path(source).stem, runs)
            continue
        run = find(workspace.resolve() / "runs", source)
        if run.summary:
            series += plotted_runs(run.name, [run.summary])
    if output is None:
        output = Path(f"{Path(sources[0]).stem}.png")
        if output.exists():
            raise PlotError(f"{output} is there already", remedy=f"-o {output} replaces it.")
    draw(series, output)
    echo(output)
