"""What came of a run: completed, failed or interrupted, and what the user can do."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.children.failure import explain
from mfn_patcher.runs import record
from mfn_patcher.runs.record import RunRecord
from mfn_patcher.training.errors import TrainingError, TrainingInterruptedError
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.process import ExitResult


def judge(plan: StagePlan, result: ExitResult | None, saved: Sequence[int]) -> str:
    """Return the outcome for the record.

    Args:
        plan: plan of the stage.
        result: how the script ended; None if the tool itself failed.
        saved: numbers of the checkpoints that were saved.
    """
    if result is None:
        return "failed"
    if result.signal:
        return "interrupted"
    incomplete = plan.last_checkpoint and plan.last_checkpoint not in saved
    return "failed" if result.stopped or result.status or incomplete else "completed"


def raise_unless_completed(
    plan: StagePlan, result: ExitResult, entry: RunRecord, folder: Path
) -> None:
    """Raise the error of a stage that was interrupted or has failed.

    Args:
        plan: plan of the stage.
        result: how the script ended.
        entry: the closed record.
        folder: folder of the run.

    Raises:
        TrainingError: the stage failed.
        TrainingInterruptedError: a signal ended it.
    """
    if entry.outcome == "interrupted":
        last = entry.last_checkpoint
        raise TrainingInterruptedError(
            f"{plan.stage.title} was interrupted by {entry.signal} after {result.seconds:.0f} s, "
            + (f"with checkpoint {last} saved" if last else "before any checkpoint was saved"),
            remedy=f"Its record and output are in {folder}.{resume_hint(entry)}",
        )
    if entry.outcome == "failed":
        raise _failure(plan, result, entry, folder)


def resume_hint(entry: RunRecord) -> str:
    """Return a sentence about the checkpoint that --resume would use; empty if there is none."""
    if entry.seed is None or entry.last_checkpoint is entry.resumed_checkpoint is None:
        return ""
    last = checkpoints.last_complete(Path(entry.prefix))
    return f" --resume continues from checkpoint {last.number}." if last else ""


def _failure(plan: StagePlan, result: ExitResult, entry: RunRecord, folder: Path) -> TrainingError:
    title = plan.stage.title
    if result.stopped:
        return TrainingError(
            f"{title} was stopped: {result.stopped}",
            remedy=f"Its record and output are in {folder}. Pass --keep-going to keep training.",
        )
    where = f"The full output is in {folder / record.LOG}.{resume_hint(entry)}"
    known = explain(result.tail, edited=entry.edited, arguments=plan.has_user_arguments)
    if known and result.status > 0:
        return TrainingError(f"{title} failed: {known.what}", remedy=f"{known.remedy} {where}")
    reason = f"exit status {result.status}"
    if result.status < 0:
        reason = f"killed by {signal.Signals(-result.status).name}"
        if result.status == -signal.SIGKILL:
            where = f"The machine may be out of memory: `dmesg` tells. {where}"
    elif not result.status:
        reason = f"it ended without saving checkpoint {plan.last_checkpoint}"
    return TrainingError(
        "\n".join([f"{title} failed: {reason}; last lines of its output:", *result.tail]),
        remedy=where,
    )
