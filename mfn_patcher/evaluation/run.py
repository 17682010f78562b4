"""Evaluating checkpoints in the training interpreter."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from mfn_patcher.children import programs
from mfn_patcher.children.failure import explain
from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.engine import AUTO, choice
from mfn_patcher.evaluation.figures import Evaluation, Figures, parse
from mfn_patcher.evaluation.plan import EvaluationError, Plan
from mfn_patcher.remedies import install

_PROGRAM = "evaluate"
_TAIL = 15  # lines

_LOG = logging.getLogger(__name__)


def run(
    plan: Plan,
    python: str,
    environment: Mapping[str, str],
    wanted: str = AUTO,
    *,
    on_batch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Evaluate in one child process, which reads each set and each checkpoint once.

    It writes no file, and it ends whenever this function does.

    Args:
        plan: what to evaluate.
        python: path of the training interpreter.
        environment: environment variables to start from.
        wanted: engine that the user selects.
        on_batch: called after each of `Plan.batches`.

    Raises:
        EvaluationError: Nothing can be evaluated; checkpoints that fail alone are in the result.
        InterpreterError: No engine can compute in the interpreter.
    """
    engine = choice.choose(wanted, python, environment, plan.visible_devices)
    variables = engine.environment(environment, plan.visible_devices)
    # No file is written, not even byte code.
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    if not plan.model.runtime:
        _LOG.info("computed by %s", engine.describe())
    results = _Results(plan, python, on_batch)
    _run_program(results, variables)
    return Evaluation(
        results.figures, results.failed, None if plan.model.runtime else engine.as_json()
    )


def _run_program(results: _Results, environment: Mapping[str, str]) -> None:
    """Run program ``evaluate`` and collect its results."""
    plan = results.plan
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            programs.command(results.python, _PROGRAM),
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            encoding="utf-8",
        )
        try:
            _send(child.stdin, _request(plan))
            for event in _events(child.stdout):
                results.take(event)
            status = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if status:
            raise _failure(plan, status, said)


def _request(plan: Plan) -> dict[str, Any]:
    """Return what program ``evaluate`` is asked for."""
    runtime = plan.model.runtime
    return {
        "symbol": None if runtime else str(plan.model.symbol),
        "runtime": runtime.module if runtime else None,
        "checkpoints": [[number, str(path)] for number, path in plan.model.checkpoints.items()],
        "sets": [[name, str(plan.data_dir / f"{name}.bin")] for name in plan.sets],
        "image": [IMAGE_SIDE, IMAGE_SIDE],
        "devices": plan.devices,
        "batch_size": plan.batch_size,
    }


@dataclass
class _Results:
    """What the child has reported so far."""

    plan: Plan
    python: str
    on_batch: Callable[[], None]
    figures: dict[int, dict[str, Figures]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event of the child.

        Raises:
            EvaluationError: Nothing can be evaluated.
        """
        if "batch" in event:
            self.on_batch()
        elif "loading" in event:
            name = event["loading"]
            _LOG.info("%s: %s images", name, f"{self.plan.sets[name]:,}")
        elif "failed" in event:
            number, reason = event["failed"]
            self.figures.pop(number, None)
            self.failed[number] = reason
        elif "missing" in event:
            raise self._missing(event["missing"])
        elif "error" in event:
            raise EvaluationError(event["error"])
        else:
            number, name = event["checkpoint"], event["set"]
            found = parse(event["result"])
            self.figures.setdefault(number, {})[name] = found
            _LOG.info("%s: %s: %s", name, self.plan.model.label(number), f"{found.accuracy:.2%}")

    def _missing(self, reason: str) -> EvaluationError:
        model = self.plan.model
        return EvaluationError(
            f"{self.python} cannot run {model.prefix.name}: {reason}",
            remedy=f"Install it with `{install(model.runtime.extra, self.python)}`."
            if model.runtime
            else "",
        )


def raise_for_failed(plan: Plan, evaluation: Evaluation) -> None:
    """Raise an error that names every checkpoint that failed, if there are any.

    Raises:
        EvaluationError: There are.
    """
    if not evaluation.failed:
        return
    model, count = plan.model, len(evaluation.failed)
    lines = [
        f"  {model.checkpoints[number].name}: {reason}"
        for number, reason in evaluation.failed.items()
    ]
    raise EvaluationError(
        "\n".join([f"{count} of {len(model.checkpoints)} checkpoints failed:", *lines])
        if len(model.checkpoints) > 1
        else f"{model.prefix.parent / lines[0].strip()}",
        remedy="Export it again, or copy it again."
        if model.runtime
        else "Other checkpoints are not affected. Copy a damaged one again, or train it again.",
    )


def _send(stdin: IO[str] | None, request: Mapping[str, Any]) -> None:
    # The exit status of a child that ends before it has read this says why.
    with contextlib.suppress(BrokenPipeError):
        if stdin:
            json.dump(request, stdin)
            stdin.close()


def _events(lines: IO[str] | None) -> Iterator[dict[str, Any]]:
    for line in lines or ():
        # The last line of a child that is killed may be incomplete.
        if line.endswith("\n"):
            yield json.loads(line)


def _failure(plan: Plan, status: int, said: IO[bytes]) -> EvaluationError:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").splitlines()[-_TAIL:]
    reason = f"exit status {status}"
    remedy = "`mfn-patch doctor` checks the training interpreter."
    if status < 0:
        reason = f"killed by {signal.Signals(-status).name}"
    if status == -signal.SIGKILL or any("memory" in line for line in lines):
        # Each image and its mirror image, three channels of four bytes.
        size = max(plan.sets.values()) * 2 * 3 * IMAGE_SIDE**2 * 4 / 1e9
        remedy = (
            f"The machine may be out of memory: the largest set takes {size:.1f} GB of main "
            "memory. A smaller --batch-size needs less on top of that."
        )
    failure = explain(lines, edited=False, arguments=False)
    if failure and status > 0:
        return EvaluationError(f"the evaluation failed: {failure.what}", remedy=remedy)
    return EvaluationError("\n".join([f"the evaluation failed: {reason}", *lines]), remedy=remedy)
