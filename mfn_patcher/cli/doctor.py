"""``mfn-patch doctor``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from mfn_patcher.cli.options import (
    KeepsArguments,
    PathType,
    cluster_options,
    engine_option,
    find_job,
    json_option,
    load_project_series,
    print_findings,
    project_option,
    python_option,
    recipe_option,
    report,
    workspace_option,
)
from mfn_patcher.cli.terminal import print_json
from mfn_patcher.errors import ExitCode, MfnPatchError

_FOLDER = PathType(file_okay=False, path_type=Path)


@click.command(cls=KeepsArguments)
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
    cluster: bool,
    hosts_file: Path | None,
    rendezvous: str | None,
    timeout: float,
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
    from mfn_patcher.training import command
    from mfn_patcher.training.run import Surroundings

    here = Path.cwd()
    job, environment = find_job(
        cluster=cluster,
        hosts_file=hosts_file,
        rendezvous=rendezvous,
        timeout=timeout,
        engine=engine,
    )
    if job and not cpu:
        from mfn_patcher.cluster.job import share_devices

        gpus = share_devices(gpus, environment.get("CUDA_VISIBLE_DEVICES"), job.rank)
    try:
        code = read_code(workspace, report)
    except MfnPatchError:
        code = Code()  # the lines about git and the workspace say why
    options = command.Options(
        data_dir=data_dir and Path(command.absolute(data_dir, here)),
        models_dir=models_dir and Path(command.absolute(models_dir, here)),
        gpus=gpus,
        cpu=cpu,
        batch_size=batch_size,
        workers=job.rank.size if job else None,
        # As for training, whose checkpoints then hold the momentum too.
        seed=command.SEED if code.can_resume else None,
        visible_devices=environment.get("CUDA_VISIBLE_DEVICES"),
    )
    series = load_project_series(project)
    chosen = loading.load(recipe_name)
    plans = command.plan_chain(chosen, chosen.stages, options)
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
        surroundings = Surroundings(workspace.resolve(), path, environment, code)
        others = start_other_ranks(job, context.meta[KeepsArguments.key], here)
        together = diagnose_together(job, diagnosis, plans, surroundings, others)
        if together is None:
            return
        diagnosis = together
    if as_json:
        print_json(diagnosis.as_json())
    else:
        print_findings(diagnosis.findings)
    if not diagnosis.ok:
        context.exit(ExitCode.VERIFICATION)
