"""``mfn-patch doctor``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from mfn_patcher.cli.cluster import (
    CLUSTER_SECTION,
    ClusterOptions,
    RelaunchableCommand,
    cluster_options,
    for_rank,
)
from mfn_patcher.cli.options import (
    AbsolutePath,
    engine_option,
    json_option,
    load_project_series,
    print_findings,
    project_option,
    python_option,
    recipe_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import print_json
from mfn_patcher.errors import ExitCode, MfnPatchError

_FOLDER = AbsolutePath(file_okay=False)


@click.command(cls=RelaunchableCommand, sections={"Several hosts": CLUSTER_SECTION})
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
    help="Images a step, over all GPUs of all hosts together.",
)
@cluster_options
@python_option
@engine_option
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
    cluster: ClusterOptions,
    python: str | None,
    engine: str,
    project: Path | None,
    as_json: bool,
) -> None:
    """Look whether this machine has all that a training needs, and say what brings what it lacks.

    Looked at are git, the workspace, the training interpreter, MXNet and every library its build
    links, the data set, GPUs and their memory, and the disk. The options are those of train.
    Nothing is trained or changed. The exit code is 4 if anything failed; a warning leaves it 0.
    With --cluster or --hosts, all hosts are looked at, whether they are alike and reach each other.

    \b
    Example:
      mfn-patch doctor --data-dir /data/faces_ms1m_112x112
      mpirun -n 4 mfn-patch doctor --cluster
    """
    from mfn_patcher.children import interpreter
    from mfn_patcher.doctor.machine import diagnose
    from mfn_patcher.recipes import loading
    from mfn_patcher.runs.code import Code, read_code
    from mfn_patcher.training.context import RunContext
    from mfn_patcher.training.options import DEFAULT_SEED, Options
    from mfn_patcher.training.planner import plan_chain

    job, environment = cluster.find_job(engine)
    try:
        code = read_code(workspace)
    except MfnPatchError:
        code = Code()  # the lines about git and the workspace say why
    options = Options(
        data_dir=data_dir,
        models_dir=models_dir,
        gpus=gpus,
        cpu=cpu,
        batch_size=batch_size,
        # As for training, whose checkpoints then hold the momentum too.
        seed=DEFAULT_SEED if code.can_resume else None,
        visible_devices=environment.get("CUDA_VISIBLE_DEVICES"),
    )
    options = for_rank(options, job)
    series = load_project_series(project)
    chosen = loading.load(recipe_name)
    plans = plan_chain(chosen, chosen.stages, options)
    if job:
        # This host is looked at as if its share of each batch were all.
        share = plans[0].batch_size // job.rank.size
        options = dataclasses.replace(options, workers=None, batch_size=share)
    diagnosis = diagnose(
        workspace,
        series,
        chosen,
        options,
        python=python,
        wanted=engine,
        distributed=job is not None,
        environment=environment,
    )
    if job:
        from mfn_patcher.cluster.job import start_other_ranks
        from mfn_patcher.doctor.hosts import diagnose_together

        path = interpreter.find(python)
        here = RunContext(workspace.resolve(), path, environment, code)
        others = start_other_ranks(job, RelaunchableCommand.arguments(context), Path.cwd())
        together = diagnose_together(job, diagnosis, plans, here, others)
        if together is None:
            return
        diagnosis = together
    if as_json:
        print_json(diagnosis.as_json())
    else:
        print_findings(diagnosis.findings)
    if not diagnosis.ok:
        context.exit(ExitCode.VERIFICATION)
