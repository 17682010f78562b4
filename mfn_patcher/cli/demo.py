"""``mfn-patch demo``."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    engine_option,
    load_project_series,
    project_option,
    python_option,
    upstream_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import can_redraw, echo
from mfn_patcher.printable import counted
from mfn_patcher.progress import task

if TYPE_CHECKING:
    from mfn_patcher.patching.workspace import Workspace

_LOG = logging.getLogger(__name__)

# Enough for two verifications, checkpoints and epochs per stage, in a minute or two on two cores.
_BATCH_SIZE, _STEPS, _CHECKPOINT_EVERY = 4, 6, 3
_IDENTITIES, _IMAGES_PER_IDENTITY = 6, 2
# Verifying on all three would take longer than training does.
_SETS = ("lfw",)


@click.command(
    short_help="Run the whole pipeline once, at toy scale.",
    cls=Command,
    examples=("mfn-patch demo",),
)
@workspace_option
@upstream_option
@python_option
@engine_option
@project_option
def demo(
    workspace: Path, address: str | None, python: str | None, engine: str, project: Path | None
) -> None:
    """Run the whole pipeline once, at toy scale.

    Applies the patches, verifies them, draws a data set and trains the three stages for six steps
    each, on the CPU, in a few minutes. It shows that everything works on this machine; the
    accuracy means nothing.
    """
    from mfn_patcher.children import interpreter
    from mfn_patcher.data.synth import count_images, synthesise
    from mfn_patcher.patching.applying import apply
    from mfn_patcher.patching.workspace import Workspace
    from mfn_patcher.recipes import loading
    from mfn_patcher.training.script import require_patches

    path = interpreter.find(python)
    place = Workspace(workspace)
    data, models = place.path / "datasets" / "synthetic", place.path / "models" / "demo"

    series = load_project_series(project)
    require_patches(series, loading.load().script)

    _LOG.info("1/4 applying the patches")
    address = address or series.upstream.address
    applied = apply(place, series, series.patches, address)
    _LOG.info(
        "%s applied; the code is %s",
        counted(len(applied.links), "patch", "patches"),
        applied.commit,
    )

    _LOG.info("2/4 verifying the patched code")
    _verify(place, path, engine)

    _LOG.info("3/4 drawing a data set in %s", data)
    if not (data / "property").exists():
        images = count_images(_IDENTITIES, _IMAGES_PER_IDENTITY, sets=_SETS)
        with task("drawing faces", images) as drawing:
            synthesise(
                data,
                identities=_IDENTITIES,
                images_per_identity=_IMAGES_PER_IDENTITY,
                sets=_SETS,
                on_image=drawing.advance,
            )

    folders = _train(place, path, engine, data=data, models=models)
    _print_outputs({"patched code": place.path, "data set": data, "checkpoints": models, **folders})


def _verify(workspace: Workspace, python: str, engine: str) -> None:
    from mfn_patcher.recipes import loading
    from mfn_patcher.training.verify import VerificationError, verify

    verification = verify(workspace, loading.load(), python, engine)
    if verification.failed:
        failed = [f"{check.name} ({check.case}): {check.found}" for check in verification.failed]
        message = f"the code does not do what the recipe expects: {'; '.join(failed)}"
        raise VerificationError(message)
    _LOG.info("%s checks against the recipe passed", len(verification.checks))


def _train(
    workspace: Workspace, python: str, engine: str, *, data: Path, models: Path
) -> dict[str, Path]:
    """Train all stages; return the folders of the runs, by the titles of the stages."""
    from mfn_patcher.recipes import DEFAULT
    from mfn_patcher.training.options import Options
    from mfn_patcher.training.run import run_stages
    from mfn_patcher.training.session import TrainingRequest, prepare
    from mfn_patcher.training.watch.supervision import Supervision

    options = Options(
        data_dir=data,
        models_dir=models,
        cpu=True,
        batch_size=_BATCH_SIZE,
        max_steps=_STEPS,
        checkpoint_every=_CHECKPOINT_EVERY,
    )
    request = TrainingRequest(
        workspace.path, DEFAULT, "all", options, python, engine, dict(os.environ)
    )
    session = prepare(request, resume=False)
    _LOG.info("4/4 training %s stages of %s steps on the CPU", len(session.plans), _STEPS)
    # The network learns nothing in so few steps, so the accuracy gate would refuse to continue.
    supervision = Supervision(gate=False, display=can_redraw(sys.stdout))
    # The script's own lines, of which few say anything to a newcomer, are in output.log alone.
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(Path(os.devnull).open("wb"))
        if not supervision.display:
            stack.enter_context(task("training"))
        folders = run_stages(session.plans, session.context, nowhere, supervision)
    return {plan.stage.title: folder for plan, folder in zip(session.plans, folders)}


def _print_outputs(outputs: dict[str, Path]) -> None:
    from mfn_patcher import remedies

    command, workspace = remedies.command(), shlex.quote(str(outputs["patched code"]))
    echo("\nSuccess. Outputs:")
    for title, path in outputs.items():
        echo(f"  {title:20} {path}")
    echo(f"For a page about the last stage, run: {command} report last --workspace {workspace}")
    echo(f"Next, on a GPU machine with MS1M: {command} train --stage all --data-dir DIR")
