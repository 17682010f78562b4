"""Resuming where an earlier run was stopped: what remains of a chain of stages.

The run is found by its record, and what it has left by the manifests of its checkpoints. Where the
record is missing or damaged, the manifests are enough: they hold the arguments of the script.
Anything that would turn it into a different run is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.checkpoints.folder import Complete
from mfn_patcher.engine import AUTO
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.runs import record
from mfn_patcher.runs.store import Run
from mfn_patcher.training.comparison import (
    differences_from_manifest,
    differences_from_record,
    engine_of,
)
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.plan import Resumption, StagePlan

_LOG = logging.getLogger(__name__)


class ResumeError(MfnPatchError):
    """There is nothing to resume, or it belongs to another run."""


@dataclass(frozen=True)
class _Candidate:
    """A stage that could be resumed.

    Attributes:
        index: its place in the chain.
        time: when it was last trained, in seconds since the epoch.
        left: its run, or a checkpoint if there is no record of that.
    """

    index: int
    time: float
    left: Run | Complete


def remaining(plans: Sequence[StagePlan], context: RunContext) -> tuple[StagePlan, ...]:
    """Return what remains of a chain: the stage that was trained last, and those after it.

    Args:
        plans: plans of the stages, in order, as if none had been trained.
        context: where they run.

    Returns:
        The remaining stages; empty if all of them are complete.

    Raises:
        ResumeError: there is no run to resume, or it had other settings.
    """
    runs = [Run(*found) for found in record.read_all(context.runs)]
    runs.sort(key=lambda run: str(run.record.get("started")), reverse=True)
    found = [
        candidate
        for index, plan in enumerate(plans)
        if (candidate := _candidate(index, plan, runs, context))
    ]
    fitting = [each for each in found if _fits(plans[each.index], each, context)]
    if not fitting:
        raise _nothing_to_resume(plans, runs, found, context)
    last = max(fitting, key=lambda candidate: candidate.time)
    plan, following = plans[last.index], tuple(plans[last.index + 1 :])
    if isinstance(last.left, Run):
        run, checkpoint = _resume_run(plan, last.left, context)
        return _after(plan, run.name, checkpoint, following)
    _LOG.info(
        "%s has no readable record, so its settings are taken from the manifest of %s",
        plan.stage.title,
        last.left.path,
    )
    _report_engine_change(plan, last.left.engine, context)
    return _after(plan, None, last.left, following)


def _candidate(
    index: int, plan: StagePlan, runs: Sequence[Run], context: RunContext
) -> _Candidate | None:
    """Return the newest run of a stage, or else a checkpoint whose run has no readable record."""
    prefix = context.resolve(plan.prefix)
    for run in runs:
        if _is_of(plan, run.record) and run.record.get("prefix") == str(prefix):
            return _Candidate(index, datetime.fromisoformat(run.record["started"]).timestamp(), run)
    last = checkpoints.last_complete(prefix)
    if last is None or not last.arguments:
        return None
    if record.find_writer(context.runs, last.path, prefix):
        return None
    return _Candidate(index, last.saved, last)


def _fits(plan: StagePlan, candidate: _Candidate, context: RunContext) -> bool:
    """Return whether a stage may be resumed; a run with a record is compared later."""
    if isinstance(candidate.left, Run):
        return True
    return not any(differences_from_manifest(plan, candidate.left, context))


def _resume_run(plan: StagePlan, newest: Run, context: RunContext) -> tuple[Run, Complete | None]:
    """Return run and checkpoint that a stage resumes from, if its settings are the same."""
    run, checkpoint = _left_by(plan, newest, context)
    differences = list(differences_from_record(plan, run.record, context))
    if differences:
        raise _another_training(plan, f"run {run.name}", differences)
    _report_engine_change(plan, engine_of(run.record), context)
    code = context.code
    if _code_of(run) != (code.commit, code.edits, code.trainer_sha256):
        _LOG.warning(
            "%s resumes with different code from that of run %s",
            plan.stage.title,
            run.name,
        )
    return run, checkpoint


def _after(
    plan: StagePlan,
    run: str | None,
    checkpoint: Complete | None,
    following: tuple[StagePlan, ...],
) -> tuple[StagePlan, ...]:
    """Return what remains after the last checkpoint of a stage."""
    if checkpoint is None:
        _LOG.info("%s has saved no complete checkpoint, so it starts over", plan.stage.title)
        return (plan.resume(Resumption(run, None)), *following)
    if plan.last_checkpoint is not None and checkpoint.number >= plan.last_checkpoint:
        _LOG.info("%s is complete: %s", plan.stage.title, checkpoint.path)
        return following
    return (plan.resume(Resumption(run, checkpoint.number)), *following)


def _report_engine_change(plan: StagePlan, former: str, context: RunContext) -> None:
    if context.requested_engine not in (AUTO, former):
        _LOG.info(
            "%s resumes on %s, as requested; it was trained on %s, which rounds differently",
            plan.stage.title,
            context.requested_engine,
            former,
        )


def _left_by(plan: StagePlan, newest: Run, context: RunContext) -> tuple[Run, Complete | None]:
    """Return the last complete checkpoint of a stage, and the run that saved it.

    Raises:
        ResumeError: another stage has saved there since, or nothing complete is left.
    """
    prefix = context.resolve(plan.prefix)
    last = checkpoints.last_complete(prefix)
    if last:
        writer = record.find_writer(context.runs, last.path, prefix)
        if writer is None or _is_of(plan, writer[1]):
            return (Run(*writer) if writer else newest), last
        if str(writer[1]["started"]) > str(newest.record["started"]):
            raise ResumeError(
                f"cannot resume {plan.stage.title}: stage {writer[1]['stage']} "
                f"({writer[1]['name']}) has saved to {prefix} since",
                remedy=f"Resume that stage with --stage {writer[1]['stage']}, or train "
                f"{plan.stage.title} without --resume.",
            )
    for number, path in reversed(checkpoints.find(prefix).items()):
        writer = record.find_writer(context.runs, path, prefix)
        if writer and _is_of(plan, writer[1]):
            raise ResumeError(
                f"cannot resume {plan.stage.title}: its checkpoint {path} is incomplete, has "
                "values that are NaN or infinite, or was saved without a seed and so without its "
                "momentum",
                remedy=f"Train without --resume; --pretrained {prefix},{number} starts from its "
                "parameters, at the first step.",
            )
    return newest, None


def _nothing_to_resume(
    plans: Sequence[StagePlan],
    runs: Sequence[Run],
    found: Sequence[_Candidate],
    context: RunContext,
) -> ResumeError:
    titles = " and ".join(plan.stage.title for plan in plans)
    for candidate in found:
        if isinstance(candidate.left, Complete):
            plan, checkpoint = plans[candidate.index], candidate.left
            lines = differences_from_manifest(plan, checkpoint, context)
            return _another_training(plan, f"from checkpoint {checkpoint.path}", lines)
    if not runs:
        return ResumeError(
            f"there is no run of {titles} to resume",
            remedy="Train without --resume, or name another workspace with --workspace.",
        )
    last = runs[0].record
    return ResumeError(
        f"there is no run of {titles} with this models folder to resume; the last run was stage "
        f"{last['stage']} ({last['name']}) of recipe {last['recipe']}, which saves to "
        f"{last['prefix']}, in {runs[0].folder}",
        remedy="Pass the --stage, --recipe and --models-dir of that run, or train without "
        "--resume.",
    )


def _another_training(plan: StagePlan, what: str, differences: Iterable[str]) -> ResumeError:
    lines = "\n".join(f"  {line}" for line in differences)
    return ResumeError(
        f"cannot resume {plan.stage.title}, {what}: it was started with different settings:\n"
        f"{lines}",
        remedy="Repeat the options of that run, or train without --resume, which first moves its "
        "checkpoints aside.",
    )


def _is_of(plan: StagePlan, entry: Mapping[str, Any]) -> bool:
    return (entry["recipe"], entry["stage"]) == (plan.recipe, plan.stage.number)


def _code_of(run: Run) -> tuple[str | None, bytes, str | None]:
    edits = run.folder / record.EDITS
    return (
        run.record.get("chain_commit"),
        edits.read_bytes() if edits.exists() else b"",
        run.record.get("trainer_sha256"),
    )
