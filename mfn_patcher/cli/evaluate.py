"""``mfn-patch eval``."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    AbsolutePath,
    cpu_option,
    engine_option,
    gpus_option,
    json_option,
    output_option,
    print_table,
    python_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json, style
from mfn_patcher.export import formats
from mfn_patcher.progress import task

if TYPE_CHECKING:
    from mfn_patcher.evaluation.figures import Evaluation
    from mfn_patcher.evaluation.plan import Plan
    from mfn_patcher.patching.workspace import Workspace

_LOG = logging.getLogger(__name__)

_HELP = f"""Evaluate checkpoints on verification sets, as the script does during training.

The script's 10-fold protocol measures accuracy with and without flip, the threshold, the true
accept rate (TAR) at a false accept rate (FAR) of 0.001, and the mean length of the embeddings.

MODEL is PREFIX,EPOCH for one checkpoint; PREFIX for all of its checkpoints, of which the best is
marked; or a file written by `mfn-patch export` ({formats.suffixes()}), which runs on the CPU in
its own runtime.

By default, data set and batch size are those of the run that saved the newest of the checkpoints,
and GPUs are chosen as `mfn-patch train` does.
"""


@click.command(
    name="eval",
    help=_HELP,
    short_help="Evaluate checkpoints.",
    cls=Command,
    examples=(
        "mfn-patch eval --model insightface/models/MobileFaceNet/model-y1-arcface,25",
        "mfn-patch eval --model insightface/models/MobileFaceNet/model-y1-arcface --plot roc.png",
        "mfn-patch eval --model model-y1-arcface-0025.onnx --data-dir faces_ms1m_112x112",
    ),
)
@workspace_option
@click.option(
    "--model",
    required=True,
    metavar="MODEL",
    shell_complete=completion.checkpoints,
    help="Checkpoints, or an exported model.",
)
@click.option("--target", metavar="LIST", help="Sets, such as lfw,agedb_30.  [default: all]")
@click.option(
    "--data-dir",
    type=AbsolutePath(file_okay=False),
    metavar="DIR",
    help="Folder of the verification sets.",
)
@gpus_option
@cpu_option
@click.option(
    "--batch-size", type=click.IntRange(min=1), metavar="N", help="Images per batch, over all GPUs."
)
@output_option(
    "Plot ROC curves to a .png or .svg file.", "--plot", suffixes=(".png", ".svg"), metavar="FILE"
)
@python_option
@engine_option
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
    overwrite: bool,
    python: str | None,
    engine: str,
    as_json: bool,
) -> None:
    """Evaluate checkpoints on verification sets."""
    from mfn_patcher.checkpoints import selection
    from mfn_patcher.children import interpreter
    from mfn_patcher.evaluation import kept
    from mfn_patcher.evaluation import plan as plans
    from mfn_patcher.evaluation.plan import Settings
    from mfn_patcher.evaluation.run import raise_for_failed
    from mfn_patcher.files import require_new
    from mfn_patcher.patching.workspace import Workspace
    from mfn_patcher.recipes import loading
    from mfn_patcher.training.devices import choose_devices
    from mfn_patcher.training.options import Options

    if plot:
        require_new(plot, overwrite=overwrite)
        # It needs an extra. An import error must come before hours of work.
        from mfn_patcher.evaluation.roc import draw
    place, recipe = Workspace(workspace), loading.load()
    found = selection.find(model, Path.cwd(), workspace, formats.runtimes())
    if found.runtime and gpus:
        raise click.UsageError("exported models run on the CPU: omit --gpus")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    options = Options(gpus=gpus, cpu=cpu or found.runtime is not None, visible_devices=visible)
    devices, _ = choose_devices(recipe, options)
    settings = Settings(devices, target, data_dir, batch_size)
    plan = plans.plan(place.path, recipe, found, settings)
    for note in plan.notes:
        _LOG.info("%s", note)
    evaluation = _run(plan, interpreter.find(python), engine)
    kept.keep(plan, evaluation, place.path / "runs")
    best = evaluation.best
    if as_json:
        print_json(_as_json(place, plan, evaluation))
    elif best is not None:
        _print_details(plan, evaluation, best)
        _print_comparison(plan, evaluation)
    if plot and best is not None:
        draw(_title(plan, best), evaluation.figures[best], plot)
        _LOG.info("plotted %s to %s", _title(plan, best), plot)
    raise_for_failed(plan, evaluation)


def _run(plan: Plan, python: str, engine: str) -> Evaluation:
    """Evaluate, with the progress of its batches."""
    from mfn_patcher.evaluation import run

    with task("evaluating", plan.batches) as evaluating:
        return run.run(plan, python, os.environ, engine, on_batch=evaluating.advance)


def _title(plan: Plan, number: int) -> str:
    return f"{plan.model.prefix.name}, {plan.model.label(number)}"


def _print_details(plan: Plan, evaluation: Evaluation, number: int) -> None:
    from mfn_patcher.evaluation.figures import FAR

    several = " (the best)" if len(plan.model.checkpoints) > 1 else ""
    echo(style(_title(plan, number) + several, bold=True))
    print_table(
        (
            "set",
            "pairs",
            "accuracy, %",
            "TAR, %",
            "FAR, % (different pairs)",
            "without flip, %",
            "cosine threshold",
            "XNorm",
        ),
        [
            (
                name,
                f"{found.pairs:,}",
                _percent(found.accuracy, found.std),
                _percent(found.tar, found.tar_std),
                f"{100 * found.far:.2f} ({found.different:,})",
                _percent(found.accuracy_without_flip, found.std_without_flip),
                f"{found.cosine:.3f}",
                f"{found.xnorm:.4f}",
            )
            for name, found in evaluation.figures[number].items()
        ],
        right=" xxxxxxx",
    )
    echo(
        "Each fold is measured at thresholds chosen on the other nine: the most accurate one and, "
        f"for TAR and FAR, the one with a FAR of {FAR:g} there.\n"
        "The cosine threshold is that without flip, as `mfn-patch compare` embeds faces."
    )


def _percent(rate: float, deviation: float) -> str:
    return f"{100 * rate:.2f} ± {100 * deviation:.2f}"


def _print_comparison(plan: Plan, evaluation: Evaluation) -> None:
    from mfn_patcher.recipes import published

    several = len(plan.model.checkpoints) > 1
    best_on = {name: evaluation.best_on(name) for name in plan.sets}
    rows = []
    for number, figures in evaluation.figures.items():
        best = " (the best)" if several and number == evaluation.best else ""
        accuracies = [
            f"{100 * found.accuracy:.2f}{' *' if several and number == best_on[name] else '  '}"
            for name, found in figures.items()
        ]
        rows.append([f"{plan.model.label(number)}{best}", *accuracies])
    for source in published.load():
        if not source.accuracies.keys() & plan.sets.keys():
            continue  # nothing was published for sets of the user's own
        rows.append([source.title])
        for name in plan.sets:
            bound = "≥ " if name in source.at_least else ""
            accuracy = source.accuracies.get(name)
            rows[-1].append("" if accuracy is None else f"{bound}{accuracy:.2f}  ")
    if len(rows) == 1:
        return  # the first table says all of it
    echo(style("\nAccuracy with flip, %", bold=True))
    print_table(("", *(f"{name}  " for name in plan.sets)), rows, right=" " + "x" * len(plan.sets))
    for name, images in plan.sets.items():
        if 2 * published.PAIRS.get(name, 0) not in (0, images):
            echo(
                f"{name} has {images // 2:,} pairs here and {published.PAIRS[name]:,} in the "
                "published figures: they are not comparable."
            )


def _as_json(place: Workspace, plan: Plan, evaluation: Evaluation) -> dict[str, Any]:
    exported = plan.model.runtime is not None
    number_of = {number: None if exported else number for number in plan.model.checkpoints}
    results = []
    for number, sets in evaluation.figures.items():
        for name, found in sets.items():
            figures = dataclasses.asdict(found)
            del figures["roc"]
            results.append({"checkpoint": number_of[number], "set": name, **figures})
    return {
        "workspace": str(place.path),
        "commit": place.chain_commit(),
        "prefix": None if exported else str(plan.model.prefix),
        "exported": str(plan.model.prefix) if exported else None,
        "data_dir": str(plan.data_dir),
        "devices": plan.visible_devices,
        "batch_size": plan.batch_size,
        "engine": evaluation.engine,
        "results": results,
        "best": None if evaluation.best is None else number_of[evaluation.best],
        "failed": [{"checkpoint": number_of[n], "reason": r} for n, r in evaluation.failed.items()],
    }
