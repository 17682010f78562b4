"""``mfn-patch train``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.cluster import (
    CLUSTER_SECTION,
    ClusterOptions,
    RelaunchableCommand,
    cluster_options,
    for_rank,
)
from mfn_patcher.cli.options import (
    Number,
    batch_size_option,
    cpu_option,
    data_dir_option,
    engine_option,
    gpus_option,
    models_dir_option,
    precision_option,
    python_option,
    recipe_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import can_redraw, complain, echo
from mfn_patcher.errors import ExitCode

if TYPE_CHECKING:
    from mfn_patcher.cluster.job import Job
    from mfn_patcher.training.session import Session
    from mfn_patcher.training.watch.supervision import Supervision

_COUNT = Number(click.IntRange(min=1))
_SEED = Number(click.IntRange(0, 2**32 - 1))


def _parse_pretrained(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[str, int] | None:
    from mfn_patcher.training.options import parse_checkpoint

    return parse_checkpoint(text, Path.cwd()) if text else None


_SECTIONS = {
    "What to train": ("stages", "recipe_name", "dry_run", "resume"),
    "Data and checkpoints": (
        "workspace",
        "data_dir",
        "models_dir",
        "pretrained",
        "checkpoint_every",
        "keep",
        "tensorboard",
    ),
    "Training": ("batch_size", "scale_steps", "max_steps", "until_stopped", "seed", "precision"),
    "Checks": ("keep_going", "skip_accuracy_gate"),
    "Devices": ("gpus", "cpu", "engine", "python"),
    "Several hosts": CLUSTER_SECTION,
}


@click.command(
    cls=RelaunchableCommand,
    sections=_SECTIONS,
    short_help="Train stages of a recipe with the patched script.",
    examples=(
        "mfn-patch train --stage all --dry-run",
        "mfn-patch train --stage 2,3 --gpus 0,1 --batch-size 256 --scale-steps",
        "mfn-patch train --stage all --resume",
        "mfn-patch train --stage 3 -- --target lfw",
        "mpirun -n 4 mfn-patch train --stage 3 --cluster",
    ),
)
@click.option(
    "--stage",
    "stages",
    required=True,
    metavar="STAGES",
    shell_complete=completion.stages,
    help="Stages to run: numbers, names, or all.",
)
@recipe_option
@click.option(
    "--dry-run", is_flag=True, help="Print the commands, and what keeps them from running."
)
@click.option("--resume", is_flag=True, help="Resume from the last complete checkpoint.")
@workspace_option
@data_dir_option
@models_dir_option
@click.option(
    "--pretrained",
    callback=_parse_pretrained,
    shell_complete=completion.checkpoints,
    metavar="PREFIX,EPOCH",
    help="Checkpoint to start from.  [default: recipe]",
)
@click.option(
    "--checkpoint-every",
    type=_COUNT,
    metavar="N",
    help="Steps between checkpoints.  [default: recipe]",
)
@click.option(
    "--keep", type=_COUNT, metavar="N", help="Recent checkpoints to keep.  [default: all]"
)
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard event files to runs/.")
@batch_size_option
@click.option("--scale-steps", is_flag=True, help="Rescale step counts to the batch size.")
@click.option("--max-steps", type=_COUNT, metavar="N", help="Steps to train.  [default: recipe]")
@click.option("--until-stopped", is_flag=True, help="Train without a step limit, until Ctrl-C.")
@click.option(
    "--seed",
    type=_SEED,
    metavar="N",
    help="Random seed.  [default: 0]",
)
@precision_option
@click.option("--keep-going", is_flag=True, help="Keep training on a NaN or Inf value.")
@click.option(
    "--skip-accuracy-gate",
    is_flag=True,
    help="Start even if the previous stage learned nothing.",
)
@gpus_option
@cpu_option
@engine_option
@python_option
@cluster_options
@click.argument("script_arguments", metavar="[-- SCRIPT_ARGS]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def train(
    context: click.Context,
    /,
    *,
    workspace: Path,
    recipe_name: str,
    stages: str,
    dry_run: bool,
    resume: bool,
    keep_going: bool,
    skip_accuracy_gate: bool,
    tensorboard: bool,
    cluster: ClusterOptions,
    python: str | None,
    engine: str,
    **options: Any,
) -> None:
    """Train stages of a recipe with the patched script.

    Defaults follow the recipe: the data set in datasets/ and checkpoints in models/ of the
    workspace, on the GPUs of CUDA_VISIBLE_DEVICES, else the recipe's. Arguments after -- are
    passed to the script unchanged.

    Existing checkpoints that a run would overwrite are first moved aside. The command, the output
    and the outcome of each run are kept under runs/ in the workspace. After any interruption,
    rerun the same command with --resume.
    """
    if tensorboard:
        import mfn_patcher.runs.tensorboard  # noqa: F401  (says now what is missing, not later)
    from mfn_patcher.training.options import Options
    from mfn_patcher.training.session import TrainingRequest, prepare
    from mfn_patcher.training.watch.supervision import Supervision

    job, environment = cluster.find_job()
    chosen = Options(**options, visible_devices=environment.get("CUDA_VISIBLE_DEVICES"))
    request = TrainingRequest(
        workspace.resolve(),
        recipe_name,
        stages,
        for_rank(chosen, job),
        python=python,
        engine=engine,
        environment=environment,
    )
    session = prepare(request, resume=resume)
    # Rank 0 decides what the ranks resume, once all of them have met.
    if resume and (job is None or dry_run):
        session = session.resumed()
    if dry_run:
        _explain(session, job)
        problems = session.problems(
            gate=not skip_accuracy_gate, saves=job is None or not job.rank.number
        )
        for problem in problems:
            complain(str(problem), problem.remedy)
        context.exit(problems[0].exit_code if problems else ExitCode.DONE)
    # Open MPI gives its processes a terminal even if it has none itself.
    display = can_redraw(sys.stdout) and not (job and not job.hosts)
    supervision = Supervision(
        keep_going=keep_going,
        gate=not skip_accuracy_gate,
        display=display,
        tensorboard=tensorboard,
    )
    _run(context, session, job, supervision, resume=resume)


def _explain(session: Session, job: Job | None) -> None:
    texts = session.explain()
    if job:
        from mfn_patcher.cluster.role_commands import list_role_commands

        # One of the ranks that a launcher starts is enough to print what all of them do.
        shared = texts if not job.rank.number else []
        texts = [*shared, list_role_commands(job, session.plans, session.context)]
    echo("\n\n".join(texts))


def _run(
    context: click.Context,
    session: Session,
    job: Job | None,
    supervision: Supervision,
    *,
    resume: bool,
) -> None:
    output = sys.stdout.buffer
    if job is None:
        from mfn_patcher.training.run import run_stages

        if session.plans:
            run_stages(session.plans, session.context, output, supervision)
        return
    from mfn_patcher.cluster.ssh import start_other_ranks
    from mfn_patcher.cluster.train import train_together

    train_together(
        job,
        session.plans,
        session.context,
        supervision,
        resume=resume,
        others=start_other_ranks(job, RelaunchableCommand.arguments(context)),
        output=output,
    )
