"""``mfn-patch demo``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import (
    engine_option,
    load_project_series,
    project_option,
    python_option,
    report,
    upstream_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo

if TYPE_CHECKING:
    from pathlib import Path

# Enough for two verifications and two checkpoints a stage, in a minute or two on two cores.
_BATCH_SIZE, _STEPS, _INTERVAL = 4, 6, 3


@click.command()
@workspace_option
@upstream_option
@python_option
@engine_option
@project_option
def demo(
    workspace: Path, address: str, python: str | None, engine: str, project: Path | None
) -> None:
    """Go the whole way once, small: apply, verify, make a data set, train the three stages.

    Runs on the CPU in a few minutes. The data set is synthetic and the stages last six steps:
    it shows that everything works here, and nothing about accuracy.

    \b
    Example:
      mfn-patch demo
    """
    import shlex
    import sys

    from mfn_patcher import remedies
    from mfn_patcher.children import interpreter
    from mfn_patcher.data.synth import synthesise
    from mfn_patcher.patching.workspace import Workspace
    from mfn_patcher.recipes import loading
    from mfn_patcher.runs.code import read_code
    from mfn_patcher.training.context import RunContext
    from mfn_patcher.training.options import DEFAULT_SEED, Options
    from mfn_patcher.training.planner import plan_chain
    from mfn_patcher.training.run import run_stages
    from mfn_patcher.training.verify import VerificationError, verify
    from mfn_patcher.training.watch.supervision import Supervision

    path = interpreter.find(python)
    documented = loading.load()
    place = Workspace(workspace, report)
    data, models = place.path / "datasets" / "synthetic", place.path / "models" / "demo"

    report("1/4 patching upstream")
    series = load_project_series(project)
    outcome = place.apply(series, series.patches, address)
    report(f"{len(outcome.links)} patches are applied, the code is {outcome.commit}")

    report("2/4 asking the patched code what it would train with")
    verification = verify(place, documented, path, engine)
    if verification.failed:
        failed = [f"{check.name} ({check.case}): {check.found}" for check in verification.failed]
        message = f"the code does not do what the recipe expects: {'; '.join(failed)}"
        raise VerificationError(message)
    report(f"{len(verification.checks)} checks against the recipe passed")

    report(f"3/4 drawing a data set in {data}")
    if not (data / "property").exists():
        synthesise(data)

    report(f"4/4 training {len(documented.stages)} stages of {_STEPS} steps on the CPU")
    code = read_code(place.path)
    options = Options(
        data_dir=data,
        models_dir=models,
        cpu=True,
        batch_size=_BATCH_SIZE,
        max_steps=_STEPS,
        checkpoint_every=_INTERVAL,
        seed=DEFAULT_SEED if code.can_resume else None,
    )
    plans = plan_chain(documented, documented.stages, options)
    context = RunContext(place.path, path, dict(os.environ), code, engine)
    # So few steps teach it nothing, and need not.
    supervision = Supervision(gate=False)
    folders = run_stages(plans, context, sys.stdout.buffer, supervision)

    own = remedies.command()
    echo("\nSuccess. Outputs:")
    for title, where in (
        ("patched code", place.path),
        ("data set", data),
        ("checkpoints", models),
        *((plan.stage.title, folder) for plan, folder in zip(plans, folders)),
    ):
        echo(f"  {title:20} {where}")
    echo(
        f"A page about the last stage: {own} report last --workspace {shlex.quote(str(place.path))}"
    )
    echo(f"Next, on a GPU machine with MS1M: {own} train --stage all --data-dir DIR")
