"""``mfn-patch eval``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfn_patcher.cli.options import (
    json_option,
    print_json,
    python_option,
    report,
    workspace_option,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mfn_patcher.evaluation.figures import Evaluation
    from mfn_patcher.evaluation.run import Plan

_FOLDER = click.Path(file_okay=False, path_type=Path)

_EXAMPLE = """\b
Example:
  mfn-patch eval --model insightface/models/MobileFaceNet/model-y1-arcface,80
  mfn-patch eval --model insightface/models/MobileFaceNet/model-y1-arcface --plot roc.png
"""


@click.command(name="eval", epilog=_EXAMPLE)
@workspace_option
@click.option(
    "--model", required=True, metavar="PREFIX[,EPOCH]", help="One checkpoint, or all of a prefix."
)
@click.option(
    "--target", metavar="LIST", help="Verification sets, such as lfw,agedb_30.  [default: all]"
)
@click.option("--data-dir", type=_FOLDER, metavar="DIR", help="Where the verification sets are.")
@click.option("--gpus", metavar="LIST", help="GPUs to compute on, such as 0,1.")
@click.option("--cpu", is_flag=True, help="Compute on the CPU.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), metavar="N", help="Images a batch, over all GPUs."
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw ROC curves into a .png, .svg or .pdf file.",
)
@python_option
@json_option
def evaluate(
    *,
    workspace: Path,
    model: str,
    target: str | None,
    data_dir: Path | None,
    gpus: str | None,
    cpu: bool,
    batch_size: int | None,
    plot: Path | None,
    python: str | None,
    as_json: bool,
) -> None:
    """Measure checkpoints on verification sets, as the script does during training.

    Upstream's own 10-fold protocol gives accuracy with and without flip, the threshold, the true
    accept rate at a false accept rate of 0.001, and the mean length of the embeddings. PREFIX
    alone evaluates each of its checkpoints, and marks the best.

    Data set and batch size are those of the run that saved the newest of these checkpoints,
    unless you say otherwise; GPUs are chosen as by train.
    """
    from mfn_patcher import recipe
    from mfn_patcher.evaluation import model as models
    from mfn_patcher.evaluation import roc, run
    from mfn_patcher.training import command, interpreter
    from mfn_patcher.workspace import Workspace

    here = Path.cwd()
    place = Workspace(workspace)
    options = command.Options(
        data_dir=data_dir and Path(command.absolute(data_dir, here)),
        gpus=gpus,
        cpu=cpu,
        batch_size=batch_size,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    if plot:
        roc.check(plot)
    plan = run.plan(place.path, recipe.load(), models.find(model, here, workspace), target, options)
    for note in plan.notes:
        report(note)
    evaluation = _watch(plan, interpreter.find(python))
    best = evaluation.best
    if as_json:
        print_json(_as_json(place, plan, evaluation))
    elif best is not None:
        _print(_details(plan, evaluation, best), _comparison(plan, evaluation))
    if plot and best is not None:
        roc.draw(_title(plan, best), evaluation.figures[best], plot)
        report(f"the curves of checkpoint {best} are in {plot}")
    run.raise_for_failed(plan, evaluation)


def _watch(plan: Plan, python: str) -> Evaluation:
    """Evaluate, with a bar on a terminal, else with lines."""
    from rich.console import Console
    from rich.progress import Progress

    from mfn_patcher.evaluation import run

    console = Console(stderr=True)
    if not console.is_terminal:
        return run.run(plan, python, os.environ, on_step=report)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("starting MXNet", total=plan.batches)
        return run.run(
            plan,
            python,
            os.environ,
            on_batch=lambda: progress.advance(task),
            on_step=lambda line: progress.update(task, description=line),
        )


def _title(plan: Plan, number: int) -> str:
    return f"{plan.model.prefix.name}, checkpoint {number}"


def _details(plan: Plan, evaluation: Evaluation, number: int) -> RenderableType:
    from rich.table import Table

    from mfn_patcher.evaluation.figures import FAR

    several = " (the best)" if len(plan.model.checkpoints) > 1 else ""
    table = Table(title=_title(plan, number) + several, title_justify="left")
    table.add_column("set")
    for name in (
        "pairs",
        "accuracy, %",
        "without flip, %",
        "threshold",
        f"TAR at FAR {FAR:g}, %",
        "XNorm",
    ):
        table.add_column(name, justify="right")
    for name, found in evaluation.figures[number].items():
        table.add_row(
            name,
            f"{found.pairs:,}",
            _percent(found.accuracy, found.std),
            _percent(found.accuracy_without_flip, found.std_without_flip),
            f"{found.threshold:.3f}",
            _percent(found.tar, found.tar_std),
            f"{found.xnorm:.4f}",
        )
    return table


def _percent(rate: float, deviation: float) -> str:
    return f"{100 * rate:.2f} ± {100 * deviation:.2f}"


def _comparison(plan: Plan, evaluation: Evaluation) -> RenderableType:
    from rich.table import Table

    from mfn_patcher import published

    several = len(plan.model.checkpoints) > 1
    best_on = {name: evaluation.best_on(name) for name in plan.sets}
    table = Table(title="Accuracy with flip, %", title_justify="left")
    table.add_column("")
    for name in plan.sets:
        table.add_column(name, justify="right")
    for number, figures in evaluation.figures.items():
        best = several and number == evaluation.best
        table.add_row(
            f"checkpoint {number}" + (" (the best)" if best else ""),
            *(
                f"{100 * found.accuracy:.2f}{' *' * (several and best_on[name] == number)}"
                for name, found in figures.items()
            ),
            style="bold" if best else None,
        )
    table.add_section()
    for source in published.load():
        cells = [
            ("≥ " if name in source.at_least else "") + f"{source.accuracies[name]:.2f}"
            if name in source.accuracies
            else ""
            for name in plan.sets
        ]
        table.add_row(source.title, *cells)
    return table


def _print(*tables: RenderableType) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        # Nobody's window is that narrow: nothing is to be cut.
        console = Console(width=200)
    for table in tables:
        console.print(table, highlight=False)


def _as_json(place: Any, plan: Plan, evaluation: Evaluation) -> dict[str, Any]:
    import dataclasses

    results = []
    for number, sets in evaluation.figures.items():
        for name, found in sets.items():
            figures = dataclasses.asdict(found)
            del figures["roc"]
            results.append({"checkpoint": number, "set": name, **figures})
    return {
        "workspace": str(place.path),
        "commit": place.chain_commit(),
        "prefix": str(plan.model.prefix),
        "data_dir": str(plan.data_dir),
        "devices": plan.visible_devices,
        "batch_size": plan.batch_size,
        "results": results,
        "best": evaluation.best,
        "failed": [{"checkpoint": n, "reason": r} for n, r in evaluation.failed.items()],
    }
