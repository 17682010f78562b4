"""Whether a resumed stage is still the run that was started.

Resuming with another batch size, data set or engine would make a run that no single command
describes, so each such difference is named and refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mfn_patcher.arguments import as_mapping
from mfn_patcher.checkpoints.folder import Complete
from mfn_patcher.data.fingerprint import fingerprint
from mfn_patcher.engine import AUTO, MXNET
from mfn_patcher.trainer.mfn_trainer.arguments import may_change_on_resume
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.plan import StagePlan

# Compared as images per step, in addition to the options that may change.
_PER_DEVICE = "--per-batch-size"
# The tool's options for the script's arguments; all others come from the recipe or after --.
_OPTIONS = {
    "--verbose": "--checkpoint-every",
    "--lr-steps": "--scale-steps",
    "--seed": "--seed",
    "--precision": "--precision",
    "--kvstore": "--cluster",
}


def differences_from_record(
    plan: StagePlan, entry: Mapping[str, Any], context: RunContext
) -> Iterator[str]:
    """Yield a line for each setting of a plan that differs from a run's record."""
    former, now = as_mapping(entry["command"]), as_mapping(plan.arguments)
    if plan.batch_size != entry["batch_size"]:
        yield f"batch size {entry['batch_size']}, now {plan.batch_size} (--batch-size)"
    elif former.get(_PER_DEVICE) != now[_PER_DEVICE]:
        yield (
            f"{former.get(_PER_DEVICE)} images per device, now {now[_PER_DEVICE]} (--gpus, or the "
            "number of ranks)"
        )
    yield from _engine_differences(plan, engine_of(entry), context)
    data_dir = context.resolve(plan.data_dir)
    if data_dir.is_dir() and fingerprint(data_dir).sha256 != _fingerprint_of(entry):
        yield f"data set {entry['data_dir']}, now {data_dir} with other content (--data-dir)"
    start = plan.start and f"{context.resolve(plan.start.prefix)},{plan.start.number}"
    if start != entry.get("start"):
        yield f"started from {entry.get('start')}, now from {start} (--pretrained)"
    for name in dict.fromkeys([*former, *now]):
        if name == _PER_DEVICE or may_change_on_resume(name):
            continue
        if former.get(name) != now.get(name):
            values = (former.get(name, "not given"), now.get(name, "not given"))
            yield f"{name} {values[0]}, now {values[1]} ({_origin(name)})"


def differences_from_manifest(
    plan: StagePlan, checkpoint: Complete, context: RunContext
) -> Iterator[str]:
    """Yield a line for each argument that differs from those a checkpoint was saved with.

    The script itself compares all others, and the number of images, before it resumes.
    """
    yield from _engine_differences(plan, checkpoint.engine, context)
    for name, value in as_mapping(plan.arguments).items():
        key = name.removeprefix("--").replace("-", "_")
        if may_change_on_resume(name) or key not in checkpoint.arguments:
            continue
        if not _same(value, checkpoint.arguments[key]):
            yield f"{name} {checkpoint.arguments[key]}, now {value} ({_origin(name)})"


def engine_of(entry: Mapping[str, Any]) -> str:
    """Return the name of the engine in a record; old records have none, and mean MXNet."""
    return str((entry.get("engine") or {}).get("name", MXNET))


def _engine_differences(plan: StagePlan, former: str, context: RunContext) -> Iterator[str]:
    """Yield a line if another engine would resume without the user asking for it."""
    if context.requested_engine == AUTO and (now := context.engine(plan).name) != former:
        yield f"engine {former}, now {now} (--engine {now} allows it)"


def _fingerprint_of(entry: Mapping[str, Any]) -> object:
    return (entry.get("data_set") or {}).get("sha256")


def _origin(name: str) -> str:
    return _OPTIONS.get(name, "in the recipe, or after --")


def _same(given: str, kept: object) -> bool:
    try:
        return float(given) == float(str(kept))
    except ValueError:
        return given == str(kept)
