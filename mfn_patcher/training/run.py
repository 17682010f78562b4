"""Running the stages of a recipe one after another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from mfn_patcher.engine.choice import Engine
from mfn_patcher.training.companions import ALONE, Companions
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.preflight import (
    check_checkpoints,
    check_host,
    check_start,
    describe_pretrained,
)
from mfn_patcher.training.script import require_script
from mfn_patcher.training.stage import StageRun
from mfn_patcher.training.watch.supervision import DEFAULT, Supervision

_LOG = logging.getLogger(__name__)


def run_stages(
    plans: Sequence[StagePlan],
    context: RunContext,
    output: BinaryIO,
    supervision: Supervision = DEFAULT,
    *,
    companions: Companions = ALONE,
    engine: Engine | None = None,
) -> list[Path]:
    """Run stages one after another, up to the first that fails.

    Whatever can be checked for any of them is checked before the first one starts.

    Args:
        plans: plans of the stages, in order.
        context: where they run.
        output: gets the script's output, live.
        supervision: how the runs are watched.
        companions: what works beside each script.
        engine: the engine that `check_host` has chosen; None to call it here.

    Returns:
        The folders of the runs.

    Raises:
        TrainingError: something is missing, or the script failed.
        TrainingInterruptedError: a signal ended a stage.
        InterpreterError: the interpreter cannot train.
        AccuracyGateError: a stage would start from one that has learned nothing.
        MfnPatchError: a companion failed.
    """
    # Before the checkpoints: those who have no workspace yet must not look for them first.
    require_script(context.source, plans[0].script)
    check_checkpoints(plans, context, gate=supervision.gate)
    engine = engine or check_host(plans, context)
    folders = []
    for plan in plans:
        # Once more, now that the earlier stages of this chain have saved their checkpoints.
        check_start(plan, context, gate=supervision.gate)
        for line in describe_pretrained(plan, context):
            _LOG.info("%s", line)
        folders.append(StageRun(plan, context, engine, companions).run(output, supervision))
    return folders
