"""Evaluating checkpoints: what is looked at before, and the child that does it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mfn_patcher.checkpoints.selection import Model
from mfn_patcher.children import programs
from mfn_patcher.children.failure import explain
from mfn_patcher.children.programs.runtimes import EXTRAS
from mfn_patcher.data.check_verification import check_verification_set
from mfn_patcher.data.images import ImageSample
from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.data.verification_set import NAMES, read_verification_set
from mfn_patcher.engine import AUTO, choice
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.evaluation.figures import Evaluation, Figures, parse
from mfn_patcher.finding import Level
from mfn_patcher.recipes.model import Recipe
from mfn_patcher.remedies import install
from mfn_patcher.runs import record
from mfn_patcher.training.devices import choose_devices
from mfn_patcher.training.options import Options, PlanError

_PROGRAM = "evaluate"
_SAMPLES = 16
# On the CPU, MXNet takes 26 MB an image of a batch; from 16 images on, larger batches were not
# measured to be faster, nor to round otherwise.
_CPU_BATCH = 64
_TAIL = 15  # lines


class EvaluationError(MfnPatchError):
    """Checkpoints can't be evaluated."""


@dataclass(frozen=True)
class Plan:
    """All about an evaluation, before it starts.

    Attributes:
        source: Folder of upstream's code.
        model: Checkpoints to evaluate.
        data_dir: Where the verification sets are.
        sets: How many images each has, by name, in order.
        visible_devices: Value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        batch_size: Images a batch, over all devices.
        notes: What was chosen for the user, and why.
    """

    source: Path
    model: Model
    data_dir: Path
    sets: Mapping[str, int]
    visible_devices: str
    batch_size: int
    notes: tuple[str, ...]

    @property
    def devices(self) -> int:
        """Number of GPUs; 0 for the CPU."""
        return len(self.visible_devices.split(",")) if self.visible_devices else 0

    @property
    def batches(self) -> int:
        """Number of batches of the whole evaluation; each image counts twice, with its mirror's."""
        size = self.batch_size
        each = sum(2 * math.ceil(count / min(size, count)) for count in self.sets.values())
        return each * len(self.model.checkpoints)


# -- before -------------------------------------------------------------------------------


def plan(
    workspace: Path, recipe: Recipe, model: Model, targets: str | None, options: Options
) -> Plan:
    """Look at everything that an evaluation needs but the training interpreter.

    What the user leaves open is as in the run that saved the newest checkpoint, if its record is
    in the workspace, else as documented: the data set, and the batch size, which has an effect
    in the last digits.

    Args:
        workspace: The patched clone; absolute.
        recipe: The documented values.
        model: Checkpoints to evaluate.
        targets: Names of verification sets with commas between; None for all there are.
        options: The user's, of which data set, devices and batch size count.

    Raises:
        EvaluationError: Code or sets are missing or unsuitable.
        UnsafePickleError: A set carries code.
        PlanError: The options make no sense.
    """
    source = workspace / "src"
    if not (source / "eval" / "verification.py").is_file():
        raise EvaluationError(
            f"there is no {source / 'eval' / 'verification.py'}",
            remedy="Run `mfn-patch apply`, or name the workspace with --workspace.",
        )
    if model.exported:
        if options.gpus:
            raise PlanError("an exported model computes on the CPU here: leave out --gpus")
        options = dataclasses.replace(options, cpu=True)
    visible_devices, _ = choose_devices(recipe, options)
    devices = visible_devices.count(",") + 1
    if options.batch_size and options.batch_size < devices:
        raise PlanError(f"a batch of {options.batch_size} can't be split over {devices} GPUs")
    newest = max(model.checkpoints.values(), key=lambda path: path.stat().st_mtime)
    run, entry = record.find_writer(workspace / "runs", newest, model.prefix) or (None, {})
    notes = []

    documented = str(recipe.stages[-1].value("--data-dir"))
    data_dir = options.data_dir or Path(entry.get("data_dir") or (source / documented).resolve())
    if run and not options.data_dir:
        notes.append(f"the data set is {data_dir}, as in {run}")
    sets = _check_sets(data_dir, _choose_sets(data_dir, targets, notes))

    batch_size = options.batch_size or entry.get("batch_size") or recipe.batch_size
    if not options.batch_size:
        if not visible_devices:
            batch_size = min(batch_size, _CPU_BATCH)
        notes.append(f"batches of {batch_size} images" + (f", as in {run}" if run else ""))
    return Plan(source, model, data_dir, sets, visible_devices, batch_size, tuple(notes))


def _choose_sets(data_dir: Path, targets: str | None, notes: list[str]) -> list[str]:
    if not data_dir.is_dir():
        raise EvaluationError(
            f"there is no folder {data_dir}",
            remedy="Name the one that holds lfw.bin and other sets with --data-dir.",
        )
    there = sorted(path.stem for path in data_dir.glob("*.bin"))
    remedy = f"There is --target {','.join(there)}." if there else "--data-dir names another."
    if targets is None:
        names = [name for name in NAMES if name in there]
        notes += [
            f"there is no {name}.bin in {data_dir}" for name in NAMES if names and name not in names
        ]
    else:
        names = list(dict.fromkeys(filter(None, map(str.strip, targets.split(",")))))
        for name in names:
            if name not in there:
                raise EvaluationError(f"there is no {name}.bin in {data_dir}", remedy=remedy)
    if not names:
        wanted = ", ".join(NAMES) if targets is None else repr(targets)
        raise EvaluationError(f"{data_dir} has none of the sets {wanted}", remedy=remedy)
    return names


def _check_sets(data_dir: Path, names: Sequence[str]) -> dict[str, int]:
    """Return how many images each set has; the child unpickles only what was read here."""
    sets, problems, remedies = {}, [], []
    sample = ImageSample((IMAGE_SIDE, IMAGE_SIDE), _SAMPLES)
    for name in names:
        path = data_dir / f"{name}.bin"
        pairs = read_verification_set(path)
        sets[name] = 2 * len(pairs.same)
        for finding in check_verification_set(path.name, pairs, sample):
            if finding.level is Level.ERROR:
                problems.append(f"{path}: {finding.detail}")
                remedies.append(finding.remedy)
    if problems:
        remedy = " ".join([*dict.fromkeys(remedies), "--target chooses other sets."])
        raise EvaluationError("\n".join(problems), remedy=remedy)
    return sets


# -- the child ----------------------------------------------------------------------------


def run(
    plan: Plan,
    python: str,
    environment: Mapping[str, str],
    wanted: str = AUTO,
    *,
    on_batch: Callable[[], None] = lambda: None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Evaluate in one child, which reads each set and each checkpoint once.

    It writes no file; whatever ends this ends the child.

    Args:
        plan: What to do.
        python: The training interpreter.
        environment: The variables to start from.
        wanted: Which engine the user asks for.
        on_batch: Called after each of `Plan.batches`.
        on_step: Called with a line when the engine is chosen, a set is being loaded, or there is
            a result.

    Raises:
        EvaluationError: It failed as a whole; checkpoints that fail alone are in the result.
        InterpreterError: No engine can compute in the interpreter.
    """
    engine = choice.choose(wanted, python, environment, plan.visible_devices)
    variables = engine.environment(environment, plan.visible_devices)
    if not plan.model.exported:
        on_step(f"computed by {engine.describe()}")
    # Not even byte code is written beside upstream's files.
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    if plan.model.exported:
        # By default, ncnn's threads wait by spinning: on a busy machine, ten times longer.
        variables.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    request = {
        "symbol": None if plan.model.exported else str(plan.model.symbol),
        "checkpoints": [[number, str(path)] for number, path in plan.model.checkpoints.items()],
        "sets": [[name, str(plan.data_dir / f"{name}.bin")] for name in plan.sets],
        "image": [IMAGE_SIDE, IMAGE_SIDE],
        "devices": plan.devices,
        "batch_size": plan.batch_size,
    }
    figures: dict[int, dict[str, Figures]] = {}
    failed: dict[int, str] = {}
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            programs.command(python, _PROGRAM),
            cwd=plan.source,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            encoding="utf-8",
        )
        try:
            _ask(child.stdin, request)
            for event in _events(child.stdout):
                if "batch" in event:
                    on_batch()
                elif "loading" in event:
                    on_step(f"{event['loading']}: {plan.sets[event['loading']]:,} images")
                elif "failed" in event:
                    number, reason = event["failed"]
                    figures.pop(number, None)
                    failed[number] = reason
                elif "missing" in event:
                    extra = EXTRAS[plan.model.prefix.suffix]
                    raise EvaluationError(
                        f"{python} can't run {plan.model.prefix.name}: {event['missing']}",
                        remedy=f"Install it with `{install(extra, python)}`.",
                    )
                elif "error" in event:
                    raise EvaluationError(event["error"])
                else:
                    number, name = event["checkpoint"], event["set"]
                    found = parse(event["result"])
                    figures.setdefault(number, {})[name] = found
                    on_step(f"{name}: {plan.model.label(number)}: {found.accuracy:.2%}")
            status = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if status:
            raise _failure(plan, status, said)
    return Evaluation(figures, failed, None if plan.model.exported else engine.as_json())


def raise_for_failed(plan: Plan, evaluation: Evaluation) -> None:
    """Raise an error that names every checkpoint which could not be evaluated, if there are any.

    Raises:
        EvaluationError: There are.
    """
    if not evaluation.failed:
        return
    prefix, count = plan.model.prefix, len(evaluation.failed)
    lines = [
        f"  {plan.model.checkpoints[number].name}: {reason}"
        for number, reason in evaluation.failed.items()
    ]
    raise EvaluationError(
        "\n".join([f"{count} of {len(plan.model.checkpoints)} checkpoints failed:", *lines])
        if len(plan.model.checkpoints) > 1
        else f"{prefix.parent / lines[0].strip()}",
        remedy="Export it again, or copy it again."
        if plan.model.exported
        else "Others are not affected; a damaged one can only be trained or copied again.",
    )


def _ask(stdin: IO[str] | None, request: Mapping[str, Any]) -> None:
    # A child that ended before it read this is told of by its status.
    with contextlib.suppress(BrokenPipeError):
        if stdin:
            json.dump(request, stdin)
            stdin.close()


def _events(lines: IO[str] | None) -> Iterator[dict[str, Any]]:
    for line in lines or ():
        # The last line of a child that was killed may be the first half of one.
        if line.endswith("\n"):
            yield json.loads(line)


def _failure(plan: Plan, status: int, said: IO[bytes]) -> EvaluationError:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").splitlines()[-_TAIL:]
    reason = f"exit status {status}"
    remedy = "`mfn-patch status` tells whether all patches are applied."
    if status < 0:
        reason = f"killed by {signal.Signals(-status).name}"
    if status == -signal.SIGKILL or any("memory" in line for line in lines):
        # Each image and its mirror image, three channels of four bytes.
        size = max(plan.sets.values()) * 2 * 3 * IMAGE_SIDE**2 * 4 / 1e9
        remedy = (
            f"Memory may have run out: the largest set takes {size:.1f} GB in main memory, and a "
            "smaller --batch-size takes less beside it."
        )
    failure = explain(lines, edited=False, arguments=False)
    if failure and status > 0:
        return EvaluationError(f"the evaluation failed: {failure.what}", remedy=remedy)
    return EvaluationError("\n".join([f"the evaluation failed: {reason}", *lines]), remedy=remedy)
