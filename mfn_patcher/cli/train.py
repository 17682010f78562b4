"""``mfn-patch train``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mfn_patcher.cli.options import (
    KeepsArguments,
    PathType,
    cluster_options,
    engine_option,
    find_job,
    is_terminal,
    python_option,
    recipe_option,
    report,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo

_POSITIVE = click.IntRange(min=1)
_FOLDER = PathType(file_okay=False, path_type=Path)

_EXAMPLE = """\b
Example:
  mfn-patch train --stage all --dry-run
  mfn-patch train --stage 2,3 --gpus 0,1 --batch-size 256 --scale-steps -- --target lfw
  mfn-patch train --stage 2,3 --gpus 0,1 --batch-size 256 --scale-steps --resume -- --target lfw
  mpirun -n 4 mfn-patch train --stage 3 --cluster
"""


@click.command(cls=KeepsArguments, epilog=_EXAMPLE)
@workspace_option
@recipe_option
@click.option(
    "--stage",
    "stages",
    required=True,
    metavar="STAGES",
    help="By number or name (2 is softmax, ...); several with commas, or all: run in order.",
)
@click.option("--dry-run", is_flag=True, help="Print the commands and what differs, run nothing.")
@click.option("--data-dir", type=_FOLDER, metavar="DIR", help="The data set.")
@click.option("--models-dir", type=_FOLDER, metavar="DIR", help="Where checkpoints are saved.")
@click.option("--gpus", metavar="LIST", help="GPUs to train on, such as 0,1.")
@click.option("--cpu", is_flag=True, help="Train on the CPU.")
@click.option(
    "--batch-size",
    type=_POSITIVE,
    metavar="N",
    help="Images a step, over all GPUs of all hosts together.",
)
@click.option(
    "--scale-steps", is_flag=True, help="Multiply step counts by 512/N (the recipe's batch)."
)
@click.option("--max-steps", type=_POSITIVE, metavar="N", help="Steps to train for.")
@click.option("--until-stopped", is_flag=True, help="Train until Ctrl-C.")
@click.option(
    "--checkpoint-every", type=_POSITIVE, metavar="N", help="Steps from one checkpoint to the next."
)
@click.option("--resume", is_flag=True, help="Go on where these stages were stopped.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    help="Of all that is random.  [default: 0]",
)
@click.option(
    "--keep", type=_POSITIVE, metavar="N", help="Keep the last N checkpoints and the best ones."
)
@click.option("--keep-going", is_flag=True, help="Keep training on a NaN or Inf value.")
@click.option(
    "--skip-accuracy-gate", is_flag=True, help="Start from a stage whose LFW is at chance, too."
)
@click.option("--pretrained", metavar="PREFIX,EPOCH", help="The checkpoint to start from.")
@cluster_options
@python_option
@engine_option
@click.argument("script_args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def train(
    context: click.Context,
    *,
    workspace: Path,
    recipe_name: str,
    stages: str,
    dry_run: bool,
    data_dir: Path | None,
    models_dir: Path | None,
    gpus: str | None,
    cpu: bool,
    batch_size: int | None,
    scale_steps: bool,
    max_steps: int | None,
    until_stopped: bool,
    checkpoint_every: int | None,
    resume: bool,
    seed: int | None,
    keep: int | None,
    keep_going: bool,
    skip_accuracy_gate: bool,
    pretrained: str | None,
    cluster: bool,
    hosts_file: Path | None,
    rendezvous: str | None,
    timeout: float,
    python: str | None,
    engine: str,
    script_args: tuple[str, ...],
) -> None:
    """Train stages of a recipe with the patched script.

    Whatever is not asked for otherwise is as documented: the data set in datasets/ and the
    checkpoints in models/ of the workspace, GPU 0, 512 images a step. SCRIPT_ARGS after -- go to
    the script as they are.

    Checkpoints that a run would overwrite are moved aside first. Its output, command and outcome
    are kept in a folder under runs/ of the workspace. Ctrl-C stops the script and waits for it;
    the same command with --resume goes on from the last checkpoint as if nothing had happened.

    On a terminal a display shows how far it is and what it has reached; in a pipe the script's
    own lines are passed on.

    With --cluster it is one rank of several, as the launcher's variables say; with --hosts it
    starts the others by ssh.
    """
    from mfn_patcher.children import interpreter
    from mfn_patcher.recipes import loading
    from mfn_patcher.runs.code import read_code
    from mfn_patcher.training import command
    from mfn_patcher.training.run import Surroundings, TrainingError, run_stages

    here = Path.cwd()
    workspace = workspace.resolve()
    code = read_code(workspace, report)
    job, environment = find_job(
        cluster=cluster,
        hosts_file=hosts_file,
        rendezvous=rendezvous,
        timeout=timeout,
        engine=engine,
    )
    if job:
        from mfn_patcher.cluster.job import share_devices

        if not (code.can_cluster and code.can_resume):
            raise TrainingError(
                "--cluster and --hosts need the patches of stacks resume and cluster, which are "
                f"not applied in {workspace}",
                remedy="Run `mfn-patch apply`.",
            )
        if not cpu:
            gpus = share_devices(gpus, environment.get("CUDA_VISIBLE_DEVICES"), job.rank)
    if not code.can_resume and (resume or keep or seed is not None):
        raise TrainingError(
            "--resume, --seed and --keep need the patches of stack resume, which are not applied "
            f"in {workspace}",
            remedy="Run `mfn-patch apply`.",
        )
    options = command.Options(
        data_dir=data_dir and Path(command.absolute(data_dir, here)),
        models_dir=models_dir and Path(command.absolute(models_dir, here)),
        gpus=gpus,
        cpu=cpu,
        batch_size=batch_size,
        workers=job.rank.size if job else None,
        scale_steps=scale_steps,
        max_steps=max_steps,
        until_stopped=until_stopped,
        checkpoint_every=checkpoint_every,
        pretrained=command.parse_checkpoint(pretrained, here) if pretrained else None,
        seed=command.SEED if seed is None and code.can_resume else seed,
        keep=keep,
        script_arguments=script_args,
        visible_devices=environment.get("CUDA_VISIBLE_DEVICES"),
    )
    chosen = loading.load(recipe_name)
    plans = command.plan_chain(chosen, chosen.choose(stages), options)
    path = interpreter.find(python)
    surroundings = Surroundings(workspace, path, environment, code, engine)
    if resume and (job is None or dry_run):
        from mfn_patcher.training.resume import remaining

        plans = remaining(plans, surroundings, report)
    if dry_run:
        source = workspace / "src"
        texts = [
            command.explain(plan, source, path, *surroundings.tell_engine(plan)) for plan in plans
        ]
        if job:
            from mfn_patcher.cluster.role_commands import list_role_commands

            # Of the ranks that a launcher starts, one is enough to tell what all do.
            texts = [*(texts if not job.rank.number else ()), list_role_commands(job, plans, path)]
        echo("\n\n".join(texts))
        return

    from mfn_patcher.training.watch.supervision import Supervision

    # Open MPI gives its processes a terminal where it has none itself.
    display = is_terminal() and not (job and not job.hosts)
    supervision = Supervision(keep_going=keep_going, gate=not skip_accuracy_gate, display=display)
    if job:
        from mfn_patcher.cluster.job import start_other_ranks
        from mfn_patcher.cluster.train import train_together

        others = start_other_ranks(job, context.meta[KeepsArguments.key], here)
        train_together(
            job,
            plans,
            surroundings,
            supervision,
            resume=resume,
            others=others,
            output=sys.stdout.buffer,
        )
    elif plans:
        run_stages(plans, surroundings, sys.stdout.buffer, report, supervision)
