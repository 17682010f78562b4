"""``mfn-patch doctor``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mfn_patcher.cli.options import (
    json_option,
    load_project_series,
    print_findings,
    print_json,
    project_option,
    python_option,
    recipe_option,
    workspace_option,
)
from mfn_patcher.errors import ExitCode

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@workspace_option
@recipe_option
@click.option("--data-dir", type=_FOLDER, metavar="DIR", help="The data set.")
@click.option("--models-dir", type=_FOLDER, metavar="DIR", help="Where checkpoints will be saved.")
@click.option("--gpus", metavar="LIST", help="GPUs to train on, such as 0,1.")
@click.option("--cpu", is_flag=True, help="Train on the CPU.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images a step, over all GPUs together.",
)
@python_option
@project_option
@json_option
@click.pass_context
def doctor(
    context: click.Context,
    *,
    workspace: Path,
    recipe_name: str,
    data_dir: Path | None,
    models_dir: Path | None,
    gpus: str | None,
    cpu: bool,
    batch_size: int | None,
    python: str | None,
    project: Path | None,
    as_json: bool,
) -> None:
    """Look whether this machine has all that a training needs, and say what brings what it lacks.

    Looked at are git, the workspace, the training interpreter, MXNet and every library its build
    links, the data set, GPUs and their memory, and the disk. The options are those of train.
    Nothing is trained or changed. The exit code is 1 if anything failed; a warning leaves it 0.

    \b
    Example:
      mfn-patch doctor --data-dir /data/faces_ms1m_112x112
    """
    from mfn_patcher import recipe
    from mfn_patcher.doctor import diagnose
    from mfn_patcher.training import command
    from mfn_patcher.training.code import read_code

    here = Path.cwd()
    options = command.Options(
        data_dir=data_dir and Path(command.absolute(data_dir, here)),
        models_dir=models_dir and Path(command.absolute(models_dir, here)),
        gpus=gpus,
        cpu=cpu,
        batch_size=batch_size,
        # As for training, whose checkpoints then hold the momentum too.
        seed=command.SEED if read_code(workspace).can_resume else None,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    series = load_project_series(project)
    diagnosis = diagnose(workspace, series, recipe.load(recipe_name), options, python=python)
    if as_json:
        print_json(diagnosis.as_json())
    else:
        print_findings(diagnosis.findings)
    if not diagnosis.ok:
        context.exit(ExitCode.ERROR)
