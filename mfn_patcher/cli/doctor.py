"""``mfn-patch doctor``."""

from __future__ import annotations

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
    batch_size_option,
    cpu_option,
    data_dir_option,
    engine_option,
    gpus_option,
    json_option,
    load_project_series,
    models_dir_option,
    print_findings,
    project_option,
    python_option,
    recipe_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import print_json
from mfn_patcher.errors import ExitCode, MfnPatchError

_SECTIONS = {
    "What to train": ("recipe_name", "data_dir", "models_dir", "batch_size"),
    "Environment": ("workspace", "project", "gpus", "cpu", "engine", "python"),
    "Several hosts": CLUSTER_SECTION,
}


@click.command(
    cls=RelaunchableCommand,
    sections=_SECTIONS,
    short_help="Check that this machine can train.",
    examples=(
        "mfn-patch doctor --data-dir /data/faces_ms1m_112x112",
        "mpirun -n 4 mfn-patch doctor --cluster",
    ),
)
@workspace_option
@recipe_option
@data_dir_option
@models_dir_option
@gpus_option
@cpu_option
@batch_size_option
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
    """Check whether this machine can train, and say how to fix what is wrong.

    Checks git, the workspace, the training interpreter, the engine and every library it links, the
    data set, the GPUs and their memory, and the disk, for all stages of the recipe. The options
    mean the same as for train. Nothing is trained or changed.

    With --cluster or --hosts, also check that all hosts agree and can reach each other.

    The exit code is 4 if a check failed; warnings leave it 0.
    """
    from mfn_patcher.doctor.examination import Request
    from mfn_patcher.doctor.machine import diagnose
    from mfn_patcher.recipes import loading
    from mfn_patcher.runs.code import Code, read_code
    from mfn_patcher.training.options import DEFAULT_SEED, Options

    job, environment = cluster.find_job()
    try:
        code = read_code(workspace)
    except MfnPatchError:
        code = Code()  # The checks of git and the workspace say why.
    options = Options(
        data_dir=data_dir,
        models_dir=models_dir,
        gpus=gpus,
        cpu=cpu,
        batch_size=batch_size,
        # As for training, whose checkpoints then also contain the momentum.
        seed=DEFAULT_SEED if code.has_hooks else None,
        visible_devices=environment.get("CUDA_VISIBLE_DEVICES"),
    )
    request = Request(
        workspace=workspace,
        series=load_project_series(project),
        recipe=loading.load(recipe_name),
        options=for_rank(options, job),
        python=python,
        engine=engine,
        environment=environment,
    )
    if job:
        from mfn_patcher.cluster.ssh import start_other_ranks
        from mfn_patcher.doctor.hosts import diagnose_together

        others = start_other_ranks(job, RelaunchableCommand.arguments(context))
        diagnosis = diagnose_together(job, request, code, others)
        if diagnosis is None:
            return
    else:
        diagnosis = diagnose(request)
    if as_json:
        print_json(diagnosis.as_json())
    else:
        print_findings(diagnosis.findings)
    if not diagnosis.ok:
        context.exit(ExitCode.VERIFICATION)
