"""Checks before a stage starts: code, data set, folders, and the checkpoint to start from.

A start stops at the first problem, and a dry run lists all of them; both make the same checks.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.checkpoints import parameters
from mfn_patcher.checkpoints.lock import require_free
from mfn_patcher.checkpoints.selection import require_symbol
from mfn_patcher.data.property_file import PropertyError, read_property
from mfn_patcher.engine.choice import Engine
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Level
from mfn_patcher.progress import task
from mfn_patcher.runs import record
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.errors import TrainingError
from mfn_patcher.training.plan import StagePlan, Start
from mfn_patcher.training.script import require_script
from mfn_patcher.training.watch.gate import check_accuracy

_LOG = logging.getLogger(__name__)


def check_host(plans: Sequence[StagePlan], context: RunContext) -> Engine:
    """Check that this host has what the script of each stage needs: code, data and an engine.

    Raises:
        TrainingError: something is missing.
        InterpreterError: the interpreter cannot train.
    """
    for check in _host_checks(plans, context):
        check()
    return context.engine(plans[0])


def check_checkpoints(plans: Sequence[StagePlan], context: RunContext, *, gate: bool) -> None:
    """Check for each stage of a chain where it saves and what it starts from.

    Args:
        plans: plans of the stages, in order.
        context: where they run.
        gate: whether to check the accuracy of what a stage starts from.

    Raises:
        TrainingError: a folder or checkpoint does not serve.
        LockedError: another run saves there.
        AccuracyGateError: a stage would start from one that has learned nothing.
    """
    for check in _checkpoint_checks(plans, context, gate=gate):
        check()


def find_problems(
    plans: Sequence[StagePlan], context: RunContext, *, gate: bool, saves: bool = True
) -> list[MfnPatchError]:
    """Return everything that keeps a chain of stages from starting, in the order of the checks.

    Args:
        plans: plans of the stages, in order.
        context: where they run.
        gate: whether to check the accuracy of what a stage starts from.
        saves: whether this host reads and saves checkpoints, as only rank 0 does.

    Returns:
        What `check_checkpoints` and `check_host` would raise, one after another; a missing script
        comes first, because without it there is no other stage to start from, either.
    """
    checks = [*_host_checks(plans, context)]
    if saves:
        checks[1:1] = _checkpoint_checks(plans, context, gate=gate)  # the script comes first
    problems = []
    for check in checks:
        try:
            check()
        except MfnPatchError as error:
            problems.append(error)
    return problems


def _host_checks(plans: Sequence[StagePlan], context: RunContext) -> Iterator[Callable[[], object]]:
    yield functools.partial(require_script, context.source, plans[0].script)
    data = {(plan.data_dir, plan.batch_size, plan.targets): plan for plan in reversed(plans)}
    for plan in reversed(data.values()):
        yield functools.partial(_require_data, plan, context)
    yield functools.partial(context.engine, plans[0])


def _checkpoint_checks(
    plans: Sequence[StagePlan], context: RunContext, *, gate: bool
) -> Iterator[Callable[[], object]]:
    saved: set[Path] = set()
    for plan in plans:
        yield functools.partial(_check_models, plan, context)
        yield functools.partial(_check_chained_start, plan, context, frozenset(saved), gate=gate)
        saved.add(context.resolve(plan.prefix))


def _check_chained_start(
    plan: StagePlan, context: RunContext, saved: AbstractSet[Path], *, gate: bool
) -> None:
    check_start(plan, context, saved, gate=gate)
    describe_pretrained(plan, context)


def check_start(
    plan: StagePlan, context: RunContext, saved: AbstractSet[Path] = frozenset(), *, gate: bool
) -> None:
    """Check the checkpoint that a stage starts from.

    Args:
        plan: plan of the stage.
        context: where it runs.
        saved: prefixes that earlier stages of the chain will save to.
        gate: whether to check its accuracy.

    Raises:
        TrainingError: it does not exist, or another stage has overwritten it.
        SelectionError: its symbol file is missing.
        AccuracyGateError: the stage that saved it has learned nothing.
    """
    start = plan.start
    if start is None or plan.resumed_from is not None:
        return
    prefix = context.resolve(start.prefix)
    if start.stage is not None and prefix in saved:
        return
    existing = checkpoints.find(prefix)
    if start.number not in existing:
        raise _missing_start(plan, start, prefix, list(existing))
    require_symbol(prefix)
    if start.stage is not None:
        file = existing[start.number]
        writer = _check_writer(plan, prefix, file, start.stage, context)
        if writer and gate:
            check_accuracy(plan.stage.title, writer, file)


def describe_pretrained(plan: StagePlan, context: RunContext) -> list[str]:
    """Check a checkpoint that the user names; those of stages were checked when saved.

    Returns:
        A line for each group of layers that will start at random.

    Raises:
        TrainingError: the file cannot be read.
    """
    start = plan.start
    if start is None or start.stage is not None or plan.resumed_from is not None:
        return []
    file = checkpoints.find(context.resolve(start.prefix))[start.number]
    try:
        shapes = parameters.read_shapes(file)
        identities = read_property(context.resolve(plan.data_dir)).classes
    except OSError as error:
        raise TrainingError(f"cannot read {file}: {error.strerror}") from error
    except PropertyError:
        return []  # reported with the other faults of the data set
    size = plan.value("--emb-size")
    if not (size and size.isdecimal()):
        return []  # the script refuses it
    layers = parameters.random_layers(shapes, identities, int(size))
    return [
        f"{', '.join(names)} will start at random, not from {file.name}: {reason}"
        for reason, names in layers.items()
    ]


def _require_data(plan: StagePlan, context: RunContext) -> None:
    from mfn_patcher.training import data_set  # noqa: PLC0415  (imports NumPy)

    with task("checking the data set"):
        findings = data_set.check(plan, context)
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    if not errors:
        for finding in findings:
            _LOG.warning("%s. %s", finding.detail, finding.remedy)
        return
    lines = [f"  {finding.check}: {finding.detail}" for finding in errors]
    remedies = [finding.remedy for finding in findings if finding.remedy]
    folder = context.resolve(plan.data_dir)
    raise TrainingError(
        "\n".join([f"{plan.stage.title} cannot train on {folder}:", *lines]),
        remedy=" ".join([*dict.fromkeys(remedies), "To use another data set, pass --data-dir."]),
    )


def _check_models(plan: StagePlan, context: RunContext) -> None:
    prefix = context.resolve(plan.prefix)
    folder = next(parent for parent in prefix.parents if parent.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TrainingError(
            f"{plan.stage.title} cannot save its checkpoints: {folder} is not writable",
            remedy="Choose another folder with --models-dir.",
        )
    require_free(prefix)


def _missing_start(
    plan: StagePlan, start: Start, prefix: Path, existing: Sequence[int]
) -> TrainingError:
    ways = ["Choose an existing checkpoint with --pretrained PREFIX,EPOCH."]
    if start.stage is None:
        ways.append("docs/own-faces.md says how to get one.")
    else:
        command = f"mfn-patch train --stage {start.stage}"
        ways.insert(0, f"Run `{command}` first, with the same options.")
    if existing:
        numbers = ", ".join(map(str, existing))
        ways.append(f"Available: {numbers}; for example --pretrained {prefix},{max(existing)}.")
    return TrainingError(
        f"{plan.stage.title} starts from checkpoint {start.number} of {prefix}, which does not "
        "exist",
        remedy=" ".join(ways),
    )


def _check_writer(
    plan: StagePlan, prefix: Path, file: Path, stage: int, context: RunContext
) -> Path | None:
    """Refuse a checkpoint that another stage with the same prefix has saved over the right one.

    Returns:
        The folder of the run that saved it, if known.
    """
    saved = checkpoints.saved_at(file)
    for run, entry in record.read_all(context.runs):
        if entry.get("prefix") != str(prefix) or not record.lasted_at(entry, saved):
            continue
        if (entry["recipe"], entry["stage"]) == (plan.recipe, stage):
            return run
        remedy = f"Run `mfn-patch train --stage {stage}` again, or choose one with --pretrained."
        archived = Path(entry.get("archive") or "", file.name)
        if entry.get("archive") and archived.exists():
            name = f"{archived.parent / prefix.name},{plan.start.number if plan.start else ''}"
            remedy = f"The checkpoint that it replaced is kept: pass --pretrained {name}"
        raise TrainingError(
            f"{plan.stage.title} starts from a checkpoint of stage {stage}, but {file.name} was "
            f"saved by stage {entry['stage']} of {entry['recipe']}, in {run}",
            remedy=remedy,
        )
    return None
