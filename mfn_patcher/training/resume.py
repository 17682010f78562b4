"""Going on where an earlier run has stopped: what is left of a chain of stages.

The run is found by its record; what it has left, by the manifests of its checkpoints. Where the
record is missing or damaged, the manifests alone will do: they have the arguments of the script.
Whatever would make the training another than the one that was begun is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.data.fingerprint import fingerprint
from mfn_patcher.engine import AUTO, MXNET
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.runs import record
from mfn_patcher.training.command import Resumption, StagePlan, go_on
from mfn_patcher.training.run import Surroundings

# Compared by what it stands for, beside the options that may change: `Code.free` has those.
_EACH = "--per-batch-size"
# The tool's options for the script's arguments; all others are given in the recipe or after --.
_OPTIONS = {
    "--verbose": "--checkpoint-every",
    "--lr-steps": "--scale-steps",
    "--seed": "--seed",
    "--kvstore": "--cluster",
}


class ResumeError(MfnPatchError):
    """There is nothing to go on from, or it is of another training."""


@dataclass(frozen=True)
class _Run:
    folder: Path
    entry: Mapping[str, Any]


def remaining(
    plans: Sequence[StagePlan],
    surroundings: Surroundings,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[StagePlan, ...]:
    """Return what is left of a chain: the stage that was trained last goes on, others follow.

    Args:
        plans: Of the stages, in order, as if all were to be trained.
        surroundings: Where they run.
        report: Gets a line where a stage is done, or begins at its beginning.

    Returns:
        Nothing, if all is done.

    Raises:
        ResumeError: No run is there, or it was one with other options.
    """
    runs = [_Run(*found) for found in record.read_all(surroundings.runs)]
    runs.sort(key=lambda run: str(run.entry.get("started")), reverse=True)
    newest = {
        index: found[0]
        for index, plan in enumerate(plans)
        if (found := _runs_of(plan, runs, surroundings))
    }
    orphans = {
        index: left
        for index, plan in enumerate(plans)
        if index not in newest and (left := _orphan(plan, surroundings))
    }
    fitting = {
        index: checkpoint
        for index, checkpoint in orphans.items()
        if not any(_differences_from(checkpoint, plans[index], surroundings))
    }
    times = {index: _moment(run.entry["started"]) for index, run in newest.items()}
    times |= {index: checkpoint.saved for index, checkpoint in fitting.items()}
    if not times:
        raise _nothing(plans, runs, orphans, surroundings)
    index = max(times, key=lambda number: times[number])
    plan, following = plans[index], tuple(plans[index + 1 :])
    if index in fitting:
        report(
            f"there is no readable record of {plan.stage.title}, so its settings are taken from "
            f"the manifest of {fitting[index].path}"
        )
        _tell_other_engine(plan, fitting[index].engine, surroundings, report)
        return _after(plan, None, fitting[index], following, report)
    run, checkpoint = _left_by(plan, newest[index], surroundings)
    _compare(plan, run, surroundings)
    _tell_other_engine(plan, _engine_of(run), surroundings, report)
    if _code_of(run) != (surroundings.code.commit, surroundings.code.edits):
        report(f"{plan.stage.title} goes on with other code than run {run.folder.name} had")
    return _after(plan, run.folder.name, checkpoint, following, report)


def _engine_differences(plan: StagePlan, former: str, surroundings: Surroundings) -> Iterator[str]:
    """Yield a line if another engine would go on without having been asked for."""
    if surroundings.wanted == AUTO and (now := surroundings.engine(plan).name) != former:
        yield f"engine {former}, and now {now} (--engine {now} allows it)"


def _tell_other_engine(
    plan: StagePlan, former: str, surroundings: Surroundings, report: Callable[[str], None]
) -> None:
    if surroundings.wanted not in (AUTO, former):
        report(
            f"{plan.stage.title} resumes on {surroundings.wanted}, as asked; it was computed on "
            f"{former}, which rounds differently"
        )


def _moment(started: str) -> float:
    return datetime.fromisoformat(started).timestamp()


def _after(
    plan: StagePlan,
    run: str | None,
    checkpoint: checkpoints.Complete | None,
    following: tuple[StagePlan, ...],
    report: Callable[[str], None],
) -> tuple[StagePlan, ...]:
    """Return what is left after the last checkpoint of a stage."""
    if checkpoint is None:
        report(f"{plan.stage.title} has saved no whole checkpoint yet, so it begins anew")
        return (go_on(plan, Resumption(run, None)), *following)
    if plan.last_checkpoint is not None and checkpoint.number >= plan.last_checkpoint:
        report(f"{plan.stage.title} is done: {checkpoint.path}")
        return following
    return (go_on(plan, Resumption(run, checkpoint.number)), *following)


# -- checkpoints whose run has no readable record -------------------------------------------


def _orphan(plan: StagePlan, surroundings: Surroundings) -> checkpoints.Complete | None:
    """Return the last complete checkpoint of a stage, if no record tells which run saved it."""
    prefix = surroundings.place(plan.prefix)
    last = checkpoints.last_complete(prefix)
    if last is None or not last.arguments:
        return None
    return None if record.find_writer(surroundings.runs, last.path, prefix) else last


def _differences_from(
    checkpoint: checkpoints.Complete, plan: StagePlan, surroundings: Surroundings
) -> Iterator[str]:
    """Yield a line for each argument that the checkpoint was not saved with.

    The script compares all others, and the number of images, before it resumes.
    """
    yield from _engine_differences(plan, checkpoint.engine, surroundings)
    for name, value in _arguments(plan.arguments).items():
        key = name.removeprefix("--").replace("-", "_")
        if surroundings.code.is_free(name) or key not in checkpoint.arguments:
            continue
        if not _same(value, checkpoint.arguments[key]):
            where = _OPTIONS.get(name, "in the recipe, or after --")
            yield f"{name} {checkpoint.arguments[key]}, and now {value} ({where})"


def _same(given: str, kept: object) -> bool:
    try:
        return float(given) == float(str(kept))
    except ValueError:
        return given == str(kept)


# -- runs with a record ---------------------------------------------------------------------


def _code_of(run: _Run) -> tuple[str | None, bytes]:
    edits = run.folder / record.EDITS
    return run.entry.get("chain_commit"), edits.read_bytes() if edits.exists() else b""


def _runs_of(plan: StagePlan, runs: Sequence[_Run], surroundings: Surroundings) -> list[_Run]:
    wanted = (plan.recipe, plan.stage.number, str(surroundings.place(plan.prefix)))
    keys = ("recipe", "stage", "prefix")
    return [run for run in runs if tuple(map(run.entry.get, keys)) == wanted]


def _nothing(
    plans: Sequence[StagePlan],
    runs: Sequence[_Run],
    orphans: Mapping[int, checkpoints.Complete],
    surroundings: Surroundings,
) -> ResumeError:
    titles = " and ".join(plan.stage.title for plan in plans)
    for index, checkpoint in orphans.items():
        lines = _differences_from(checkpoint, plans[index], surroundings)
        return _of_another_training(plans[index], f"checkpoint {checkpoint.path}", lines)
    if not runs:
        return ResumeError(
            f"there is no run of {titles} to go on from",
            remedy="Train without --resume; --workspace names another workspace.",
        )
    last = runs[0].entry
    return ResumeError(
        f"there is no run of {titles} with these models to go on from; the last run was stage "
        f"{last['stage']} ({last['name']}) of recipe {last['recipe']}, which saves to "
        f"{last['prefix']}, in {runs[0].folder}",
        remedy="Give --resume with the --stage, --recipe and --models-dir of that run, or train "
        "without --resume.",
    )


def _left_by(
    plan: StagePlan, newest: _Run, surroundings: Surroundings
) -> tuple[_Run, checkpoints.Complete | None]:
    """Return the last complete checkpoint of a stage, and the run that has saved it.

    Raises:
        ResumeError: Another stage has saved there since, or nothing complete is left.
    """
    prefix = surroundings.place(plan.prefix)
    last = checkpoints.last_complete(prefix)
    if last:
        writer = record.find_writer(surroundings.runs, last.path, prefix)
        if writer is None or _is_of(plan, writer[1]):
            return (_Run(*writer) if writer else newest), last
        if str(writer[1]["started"]) > str(newest.entry["started"]):
            raise ResumeError(
                f"{plan.stage.title} can't go on: stage {writer[1]['stage']} "
                f"({writer[1]['name']}) has saved to {prefix} since",
                remedy=f"Go on with that by --stage {writer[1]['stage']}, or train "
                f"{plan.stage.title} without --resume.",
            )
    for number, path in reversed(checkpoints.find(prefix).items()):
        writer = record.find_writer(surroundings.runs, path, prefix)
        if writer and _is_of(plan, writer[1]):
            raise ResumeError(
                f"{plan.stage.title} can't go on: its checkpoint {path} is not whole, or was "
                "saved without stack resume, and so without its momentum",
                remedy=f"--pretrained {prefix},{number} starts from its parameters, at the first "
                "step; train without --resume.",
            )
    return newest, None


def _is_of(plan: StagePlan, entry: Mapping[str, Any]) -> bool:
    return (entry["recipe"], entry["stage"]) == (plan.recipe, plan.stage.number)


def _compare(plan: StagePlan, run: _Run, surroundings: Surroundings) -> None:
    differences = list(_differences(plan, run, surroundings))
    if differences:
        raise _of_another_training(plan, f"what run {run.folder.name} has left", differences)


def _of_another_training(plan: StagePlan, what: str, differences: Iterable[str]) -> ResumeError:
    lines = "\n".join(f"  {line}" for line in differences)
    return ResumeError(
        f"{plan.stage.title} can't go on from {what}, which is of another training:\n{lines}",
        remedy="Repeat the options of that run, or train without --resume; its checkpoints are "
        "then moved aside.",
    )


def _differences(plan: StagePlan, run: _Run, surroundings: Surroundings) -> Iterator[str]:
    entry = run.entry
    former, now = _arguments(entry["command"]), _arguments(plan.arguments)
    if plan.batch_size != entry["batch_size"]:
        yield f"batch size {entry['batch_size']}, and now {plan.batch_size} (--batch-size)"
    elif former.get(_EACH) != now[_EACH]:
        yield f"{former.get(_EACH)} images a device, and now {now[_EACH]} (--gpus or the ranks)"
    yield from _engine_differences(plan, _engine_of(run), surroundings)
    data_dir = surroundings.place(plan.data_dir)
    if data_dir.is_dir() and fingerprint(data_dir).sha256 != _fingerprint_of(entry):
        yield f"data set {entry['data_dir']}, and now {data_dir}, which is another (--data-dir)"
    start = plan.start and f"{surroundings.place(plan.start.prefix)},{plan.start.number}"
    if start != entry.get("start"):
        yield f"started from {entry.get('start')}, and now from {start} (--pretrained)"
    for name in dict.fromkeys([*former, *now]):
        if name == _EACH or surroundings.code.is_free(name):
            continue
        if former.get(name) != now.get(name):
            values = (former.get(name, "not given"), now.get(name, "not given"))
            where = _OPTIONS.get(name, "in the recipe, or after --")
            yield f"{name} {values[0]}, and now {values[1]} ({where})"


def _fingerprint_of(entry: Mapping[str, Any]) -> object:
    return (entry.get("data_set") or {}).get("sha256")


def _engine_of(run: _Run) -> str:
    # Records were made before there was a choice.
    return str((run.entry.get("engine") or {}).get("name", MXNET))


def _arguments(tokens: Sequence[str]) -> dict[str, str]:
    """Return the values of options; of several with a name the last, as argparse does."""
    values = {}
    for token, following in zip(tokens, (*tokens[1:], "")):
        name, equals, value = token.partition("=")
        if name.startswith("--"):
            values[name] = value if equals else following
    return values
