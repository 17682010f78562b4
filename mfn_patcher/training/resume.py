"""Going on where an earlier run has stopped: what is left of a chain of stages.

The run is found by its record; what it has left, by the manifests of its checkpoints. Whatever
would make the training another than the one that was begun is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from mfn_patcher.dataset.fingerprint import fingerprint
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.training import checkpoints, record
from mfn_patcher.training.command import Resumption, StagePlan, go_on
from mfn_patcher.training.run import Surroundings

# Arguments of the script that are compared by what they stand for, or may change.
_NOT_COMPARED = {
    "--data-dir", "--prefix", "--pretrained", "--per-batch-size", "--max-steps", "--resume",
    "--keep", "--keep-always", "--target", "--ckpt", "--progress",
}  # fmt: skip
# The tool's options for the script's arguments; all others are given in the recipe or after --.
_OPTIONS = {
    "--verbose": "--verbose-every",
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
    if not newest:
        raise _nothing(plans, runs)
    index = max(newest, key=lambda number: str(newest[number].entry["started"]))
    plan, following = plans[index], tuple(plans[index + 1 :])
    run, checkpoint = _left_by(plan, newest[index], surroundings)
    _compare(plan, run, surroundings)
    if _code_of(run) != (surroundings.code.commit, surroundings.code.edits):
        report(f"{plan.stage.title} goes on with other code than run {run.folder.name} had")
    if checkpoint is None:
        report(f"{plan.stage.title} has saved no whole checkpoint yet, so it begins anew")
        return (go_on(plan, Resumption(run.folder.name, None)), *following)
    if plan.last_checkpoint is not None and checkpoint.number >= plan.last_checkpoint:
        report(f"{plan.stage.title} is done: {checkpoint.path}")
        return following
    return (go_on(plan, Resumption(run.folder.name, checkpoint.number)), *following)


def _code_of(run: _Run) -> tuple[str | None, bytes]:
    edits = run.folder / record.EDITS
    return run.entry.get("chain_commit"), edits.read_bytes() if edits.exists() else b""


def _runs_of(plan: StagePlan, runs: Sequence[_Run], surroundings: Surroundings) -> list[_Run]:
    wanted = (plan.recipe, plan.stage.number, str(surroundings.place(plan.prefix)))
    keys = ("recipe", "stage", "prefix")
    return [run for run in runs if tuple(map(run.entry.get, keys)) == wanted]


def _nothing(plans: Sequence[StagePlan], runs: Sequence[_Run]) -> ResumeError:
    titles = " and ".join(plan.stage.title for plan in plans)
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
        lines = "\n".join(f"  {line}" for line in differences)
        raise ResumeError(
            f"{plan.stage.title} can't go on from what run {run.folder.name} has left, which is "
            f"of another training:\n{lines}",
            remedy="Repeat the options of that run, or train without --resume; its checkpoints "
            "are then moved aside.",
        )


def _differences(plan: StagePlan, run: _Run, surroundings: Surroundings) -> Iterator[str]:
    entry = run.entry
    former, now = _arguments(entry["command"]), _arguments(plan.arguments)
    each = "--per-batch-size"
    if plan.batch_size != entry["batch_size"]:
        yield f"batch size {entry['batch_size']}, and now {plan.batch_size} (--batch-size)"
    elif former[each] != now[each]:
        yield f"{former[each]} images a device, and now {now[each]} (--gpus or the ranks)"
    data_dir = surroundings.place(plan.data_dir)
    if data_dir.is_dir() and fingerprint(data_dir).sha256 != entry["data_set"]["sha256"]:
        yield f"data set {entry['data_dir']}, and now {data_dir}, which is another (--data-dir)"
    start = plan.start and f"{surroundings.place(plan.start.prefix)},{plan.start.number}"
    if start != entry["start"]:
        yield f"started from {entry['start']}, and now from {start} (--pretrained)"
    for name in dict.fromkeys([*former, *now]):
        if name not in _NOT_COMPARED and former.get(name) != now.get(name):
            values = (former.get(name, "not given"), now.get(name, "not given"))
            where = _OPTIONS.get(name, "in the recipe, or after --")
            yield f"{name} {values[0]}, and now {values[1]} ({where})"


def _arguments(tokens: Sequence[str]) -> dict[str, str]:
    """Return the values of options; of several with a name the last, as argparse does."""
    values = {}
    for token, following in zip(tokens, (*tokens[1:], "")):
        name, equals, value = token.partition("=")
        if name.startswith("--"):
            values[name] = value if equals else following
    return values
