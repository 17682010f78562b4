"""``mfn-patch log``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import json_option, print_table, workspace_option
from mfn_patcher.cli.terminal import echo, print_json, style
from mfn_patcher.printable import csv_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mfn_patcher.runs.events import Verification
    from mfn_patcher.runs.summary import RunSummary

_CSV = ("run", "set", "step", "accuracy", "std", "xnorm", "checkpoint")


@click.command(
    short_help="Summarise a log of the training script.",
    cls=Command,
    examples=(
        "mfn-patch log last",
        "mfn-patch log training.log --json",
    ),
)
@click.argument("source", metavar="FILE|RUN", shell_complete=completion.runs_or_files)
@workspace_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    metavar="FORMAT",
    help="table, csv or json.  [default: table]",
)
@json_option
def log(source: str, workspace: Path, form: str, as_json: bool) -> None:
    """Summarise a log of the training script, by its file or run; - is standard input.

    The log may come from MXNet 1.1 or 1.9.1, have a time stamp before each line, and hold several
    runs. The summary shows arguments, loss, speed, learning rates, checkpoints, all verification
    results and the best one on each set. The csv format has only the verification results.
    """
    from mfn_patcher.runs.log import read_events
    from mfn_patcher.runs.store import find_log
    from mfn_patcher.runs.summary import summarise
    from mfn_patcher.runs.summary_json import as_json as summary_as_json

    if source == "-":
        runs, name = summarise(read_events(sys.stdin.buffer), "standard input"), "-"
    else:
        _, path = find_log(workspace, source)
        name = str(path)
        with path.open("rb") as file:
            runs = summarise(read_events(file), name)
    if as_json or form == "json":
        print_json(summary_as_json(runs, name))
    elif form == "csv":
        _print_csv(runs)
    else:
        for run in runs:
            if len(runs) > 1:
                echo(style(f"{'' if run.number == 1 else chr(10)}run {run.number}", bold=True))
            print_run(run)


def _print_csv(runs: Sequence[RunSummary]) -> None:
    import csv

    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(_CSV)
    for run in runs:
        for entry in run.verifications:
            number = run.checkpoint_at(entry.step)
            of = (run.number, entry.set, entry.step, entry.accuracy, entry.std, entry.xnorm, number)
            table.writerow("" if value is None else csv_cell(value) for value in of)


def print_run(run: RunSummary) -> None:
    """Print the summary of one run of the script."""
    for name, text in _facts(run):
        echo(f"{name:<14} {text}")
    if not run.verifications:
        return
    echo()
    best = list(run.best().values())
    for title, entries in (("best", best), ("all verifications", run.verifications)):
        echo(style(title, bold=True))
        print_table(
            ("step", "set", "accuracy", "std", "XNorm", "checkpoint"),
            (_row(run, entry) for entry in entries),
            right="x xxxx",
        )


def _facts(run: RunSummary) -> Iterator[tuple[str, str]]:
    words = [f"{name}={value}" for name, value in run.arguments.items()]
    yield "arguments", " ".join(words) or "not in this log"
    if run.training_set:
        epoch = run.training_set.steps_per_epoch
        length = f", {epoch:,} steps per epoch" if epoch else ""
        yield "training set", f"{run.training_set.images:,} images{length}"
    if run.started:
        yield "time", f"{run.started} to {run.ended}"
    if run.resumed:
        yield "resumed", f"from checkpoint {run.resumed.number}, step {run.resumed.step:,}"
    yield "last step", f"{run.last_step:,}" if run.last_step else "not in this log"
    median, mean = run.curve.median_speed, run.curve.mean_speed
    if median and mean:
        yield "speed", f"{median:,.1f} images/s; {mean:,.1f} including verification and saving"
    if run.curve.loss is not None:
        yield "loss", f"{run.curve.loss:.4f} in the last training steps"
    if run.curve.accuracy is not None:
        yield "accuracy", f"{run.curve.accuracy:.4f} in the last training steps"
    for rate in run.learning_rates:
        yield "learning rate", f"{rate.value:g} from step {_text(rate.step)}"
    if run.checkpoints:
        last = run.checkpoints[-1]
        count = f"{len(run.checkpoints)}, the last is {last.number} at step {_text(last.step)}"
        yield "checkpoints", f"{count}: {last.path}"
    for entry in run.not_finite.values():
        of = f" of {entry.set}" if entry.set else ""
        yield "NaN or Inf", f"{entry.what}{of} is {entry.value} at step {_text(entry.step)}"
    if run.error:
        yield "error", run.error


def _row(run: RunSummary, entry: Verification) -> tuple[str, ...]:
    number = run.checkpoint_at(entry.step)
    return (
        f"{entry.step:,}",
        entry.set,
        f"{entry.accuracy:.5f}",
        f"{entry.std:.5f}",
        "-" if entry.xnorm is None else f"{entry.xnorm:.3f}",
        "-" if number is None else str(number),
    )


def _text(step: int | None) -> str:
    return "unknown" if step is None else f"{step:,}"
