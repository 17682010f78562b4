"""What an evaluation will do, and whether everything that it needs is there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_patcher.checkpoints.folder import saved_at
from mfn_patcher.checkpoints.selection import Model
from mfn_patcher.data.check_verification import check_verification_set
from mfn_patcher.data.verification_set import NAMES, read_verification_set
from mfn_patcher.engine.devices import count_gpus
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Level
from mfn_patcher.recipes.model import Recipe
from mfn_patcher.runs import record

# On the CPU, MXNet takes 26 MB per image of a batch. Batches of more than 16 images were not
# measured to be faster, and they round alike.
_CPU_BATCH = 64


class EvaluationError(MfnPatchError):
    """Checkpoints cannot be evaluated."""


@dataclass(frozen=True)
class Settings:
    """What the user asks of an evaluation.

    Attributes:
        visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        targets: names of verification sets separated by commas; None for all there are.
        data_dir: folder of the verification sets; None for the default.
        batch_size: images per batch, over all devices; None for the default.
    """

    visible_devices: str
    targets: str | None = None
    data_dir: Path | None = None
    batch_size: int | None = None


@dataclass(frozen=True)
class Plan:
    """What an evaluation will do.

    Attributes:
        model: checkpoints to evaluate.
        data_dir: folder of the verification sets.
        sets: number of images of each set by its name, in order.
        visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        batch_size: images per batch, over all devices.
        notes: defaults that were chosen, and missing sets, as sentences for the user.
    """

    model: Model
    data_dir: Path
    sets: Mapping[str, int]
    visible_devices: str
    batch_size: int
    notes: tuple[str, ...]

    @property
    def devices(self) -> int:
        """Number of GPUs; 0 for the CPU."""
        return count_gpus(self.visible_devices)

    @property
    def batches(self) -> int:
        """Number of batches; each image counts twice, because it is also embedded mirrored."""
        size = self.batch_size
        each = sum(2 * math.ceil(count / min(size, count)) for count in self.sets.values())
        return each * len(self.model.checkpoints)


def plan(workspace: Path, recipe: Recipe, model: Model, settings: Settings) -> Plan:
    """Check everything that an evaluation needs except the training interpreter.

    The defaults of data set and batch size, which affects the last digits, are those of the run
    that saved the newest checkpoint. If its record is not in the workspace, they are the recipe's.

    Args:
        workspace: absolute path of the workspace, whose runs are searched.
        recipe: the recipe.
        model: checkpoints to evaluate.
        settings: what the user asks for.

    Raises:
        EvaluationError: Sets are missing or unsuitable, or the batch is too small.
        VerificationSetError: A set carries code.
    """
    devices = settings.visible_devices
    gpus = count_gpus(devices) or 1
    if settings.batch_size and settings.batch_size < gpus:
        raise EvaluationError(f"cannot split a batch of {settings.batch_size} over {gpus} GPUs")
    newest = max(model.checkpoints.values(), key=saved_at)
    run, entry = record.find_writer(workspace / "runs", newest, model.prefix) or (None, {})
    notes: list[str] = []

    # The script runs in this folder.
    documented = workspace / "src" / str(recipe.stages[-1].value("--data-dir"))
    data_dir = settings.data_dir or Path(entry.get("data_dir") or documented.resolve())
    if run and not settings.data_dir:
        notes.append(f"the data set is {data_dir}, as in {run}")
    sets = _check_sets(data_dir, _choose_sets(data_dir, settings.targets, notes))

    batch_size = settings.batch_size
    if not batch_size:
        batch_size = _default_batch_size(recipe, entry, devices)
        notes.append(f"batches of {batch_size} images" + (f", as in {run}" if run else ""))
    return Plan(model, data_dir, sets, devices, batch_size, tuple(notes))


def _default_batch_size(recipe: Recipe, entry: Mapping[str, Any], visible_devices: str) -> int:
    size = int(entry.get("batch_size") or recipe.batch_size)
    return size if visible_devices else min(size, _CPU_BATCH)


def _choose_sets(data_dir: Path, targets: str | None, notes: list[str]) -> list[str]:
    if not data_dir.is_dir():
        raise EvaluationError(
            f"no such folder: {data_dir}",
            remedy="Name the folder of lfw.bin and other sets with --data-dir.",
        )
    there = sorted(path.stem for path in data_dir.glob("*.bin"))
    remedy = "Name another folder with --data-dir."
    if there:
        remedy = f"Available: --target {','.join(there)}"
    if targets is None:
        names = [name for name in NAMES if name in there]
        missing = [name for name in NAMES if names and name not in names]
        # Users who only have their own sets mean those.
        names = names or there
        notes += [f"skipped {name}: {data_dir} has no {name}.bin" for name in missing]
    else:
        names = list(dict.fromkeys(filter(None, map(str.strip, targets.split(",")))))
        for name in names:
            if name not in there:
                raise EvaluationError(f"{data_dir} has no {name}.bin", remedy=remedy)
    if not names:
        none_given = f"--target {targets!r} names no verification set"
        none_there = f"{data_dir} has no verification sets"
        raise EvaluationError(none_given if targets is not None else none_there, remedy=remedy)
    return names


def _check_sets(data_dir: Path, names: Sequence[str]) -> dict[str, int]:
    """Return the number of images of each set; only sets that were read here are unpickled."""
    sets, problems, remedies = {}, [], []
    for name in names:
        path = data_dir / f"{name}.bin"
        pairs = read_verification_set(path)
        sets[name] = 2 * len(pairs.same)
        for finding in check_verification_set(path.name, pairs):
            if finding.level is Level.ERROR:
                problems.append(f"{path}: {finding.detail}")
                remedies.append(finding.remedy)
    if problems:
        remedy = " ".join([*dict.fromkeys(remedies), "Or select other sets with --target."])
        raise EvaluationError("\n".join(problems), remedy=remedy)
    return sets
