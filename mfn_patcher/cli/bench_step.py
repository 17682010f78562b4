"""``mfn-patch bench step``."""

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
    PathType,
    batch_size_option,
    cpu_option,
    engine_option,
    gpus_option,
    json_option,
    precision_option,
    print_table,
    python_option,
    recipe_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json

if TYPE_CHECKING:
    from mfn_patcher.engine.choice import Engine
    from mfn_patcher.recipes.model import Recipe
    from mfn_patcher.training.plan import StagePlan
    from mfn_patcher.training.step_speed import StepRates

_LOG = logging.getLogger(__name__)

_MILLION = 1_000_000


@click.command(
    short_help="Measure training steps on this machine.",
    cls=Command,
    examples=(
        "mfn-patch bench step",
        "mfn-patch bench step --batch-size 256 --data-dir datasets/faces_ms1m_112x112",
    ),
)
@workspace_option
@recipe_option
@click.option(
    "--stage",
    "which",
    metavar="STAGE",
    shell_complete=completion.stage,
    help="Stage, by number or name.  [default: longest]",
)
@click.option(
    "--data-dir",
    type=PathType(exists=True, file_okay=False),
    metavar="DIR",
    help="Also measure the feed of this data set.",
)
@gpus_option
@cpu_option
@batch_size_option
@precision_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    metavar="S",
    help="Seconds to train for.  [default: 10]",
)
@python_option
@engine_option
@json_option
def step(
    *,
    workspace: Path,
    recipe_name: str,
    which: str | None,
    data_dir: Path | None,
    gpus: str | None,
    cpu: bool,
    batch_size: int | None,
    precision: str,
    seconds: float,
    python: str | None,
    engine: str,
    as_json: bool,
) -> None:
    """Measure how fast this machine trains, what bounds it, and how long a recipe would take.

    The patched script trains with the arguments of the recipe on random images, as `train` would
    run it, for some seconds. With --data-dir it then trains on that data set, and the feed and the
    disk are measured alone. The hours of the whole recipe are estimated from these rates. Nothing
    is saved.
    """
    from mfn_patcher.children import interpreter
    from mfn_patcher.engine import choice
    from mfn_patcher.recipes import loading
    from mfn_patcher.training import planner, step_speed
    from mfn_patcher.training.options import Options

    recipe = loading.load(recipe_name)
    stage = recipe.stage(which) if which else step_speed.default_stage(recipe)
    options = Options(
        data_dir=data_dir and data_dir.resolve(),
        gpus=gpus,
        cpu=cpu,
        batch_size=batch_size,
        precision=precision,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    plan = planner.plan(recipe, stage, options)
    chosen = choice.choose(
        options.choose_engine(engine), interpreter.find(python), os.environ, plan.visible_devices
    )
    _LOG.info("timing %s with %s", stage.title, chosen.title)
    rates = step_speed.measure(
        plan, workspace, chosen, os.environ, data_dir=options.data_dir, seconds=seconds
    )
    if as_json:
        print_json(_as_json(recipe, plan, chosen, rates))
    else:
        _print(recipe, plan, chosen, rates)


def _as_json(recipe: Recipe, plan: StagePlan, engine: Engine, rates: StepRates) -> dict[str, Any]:
    from mfn_patcher.training.step_speed import Workload

    work = Workload.of(recipe)
    return {
        "recipe": recipe.name,
        "stage": plan.stage.name,
        "batch_size": plan.batch_size,
        "visible_devices": plan.visible_devices,
        "engine": engine.as_json(),
        "precision": plan.precision,
        "identities": rates.identities,
        "images_per_second": {
            "compute": rates.compute,
            "training": rates.training,
            "verification": rates.forward,
            "feed": rates.feed and rates.feed.fastest,
            "disk": rates.feed and rates.feed.disk,
        },
        "peak_bytes": rates.peak_bytes,
        "bound": rates.bound,
        "verdict": rates.verdict(),
        "recipe_images": dataclasses.asdict(work),
        "estimated_hours": work.hours(rates.best, rates.forward),
    }


def _print(recipe: Recipe, plan: StagePlan, engine: Engine, rates: StepRates) -> None:
    from mfn_patcher.training.step_speed import Workload

    devices = f"GPU {plan.visible_devices}" if plan.visible_devices else "the CPU"
    echo(
        f"recipe {recipe.name}, {plan.stage.title}: {plan.batch_size} images per step, "
        f"{rates.identities:,} identities, {plan.precision}, on {devices}"
    )
    echo(f"engine: {engine.describe()}")
    rows = {"training step": rates.compute}
    if rates.training:
        rows["training step with the feed"] = rates.training
    rows.update({f"{name} alone": rate for name, rate in rates.parts.items() if name != "compute"})
    rows["verification (forward pass)"] = rates.forward
    print_table(
        ("", "images/s"), [(name, f"{rate:,.1f}") for name, rate in rows.items()], right=" x"
    )
    echo(f"Peak memory: {rates.peak_bytes / 2**30:.1f} GiB.")
    echo(rates.verdict())
    work = Workload.of(recipe)
    echo(
        f"The whole recipe would take about {work.hours(rates.best, rates.forward):,.1f} hours. "
        f"This is estimated from the rates above: {_rounded(work.trained)} images to train on and "
        f"{_rounded(work.verified)} to embed for verification on published sets."
    )


def _rounded(images: int) -> str:
    return f"{images / _MILLION:,.1f} million" if images >= _MILLION else f"{images:,}"
