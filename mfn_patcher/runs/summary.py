"""What a log tells, run by run: results, learning rates, checkpoints and the training curve.

Takes memory for each verification and checkpoint, but not for each line: of a training curve at
most `CURVE_POINTS` are kept, by merging neighbours.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.runs.log import (
    Arguments,
    CheckpointSaved,
    Event,
    LearningRate,
    NotFinite,
    Progress,
    Resumed,
    Schedule,
    ScriptError,
    Speed,
    TrainingSet,
    Verification,
)

CURVE_POINTS = 1 << 14


class LogError(MfnPatchError):
    """A file is no log of the training script."""


@dataclass(frozen=True)
class Point:
    """A point of the training curve.

    Attributes:
        step: Its last; None if the log doesn't tell.
        samples_per_second: With the time that verification took.
        accuracy: Share of right classifications, 0 to 1; None if it wasn't printed.
    """

    step: int | None
    samples_per_second: float
    accuracy: float | None


class Curve:
    """The training curve, of a bounded number of points.

    Attributes:
        points: In order. While there is a point for each line of the log they are exact; then
            neighbours are merged, two by two.
        lines: How many lines there were.
        accuracy: The last that was told; None if none was.
    """

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.lines = 0
        self.accuracy: float | None = None
        self._median: float | None = None
        self._lines_per_point = 1
        self._waiting: list[Point] = []
        self._seconds_per_sample = 0.0

    def add(self, point: Point) -> None:
        """Append what a line tells."""
        self.lines += 1
        if point.accuracy is not None:
            self.accuracy = point.accuracy
        if point.samples_per_second > 0:
            self._seconds_per_sample += 1 / point.samples_per_second
        self._waiting.append(point)
        if len(self._waiting) == self._lines_per_point:
            self.points.append(_merge(self._waiting))
            self._waiting.clear()
        if len(self.points) == CURVE_POINTS:
            pairs = zip(self.points[::2], self.points[1::2])
            self.points = [_merge(pair) for pair in pairs]
            self._lines_per_point *= 2

    @property
    def mean_speed(self) -> float | None:
        """Samples a second over all of the training, with the time that verification took."""
        # Every line stands for as many samples, so the seconds are what is averaged.
        return self.lines / self._seconds_per_sample if self._seconds_per_sample else None

    @property
    def median_speed(self) -> float | None:
        """Samples a second of the middle line: of training alone, without verification."""
        speeds = [point.samples_per_second for point in self.points]
        speeds = [speed for speed in speeds if math.isfinite(speed)]
        return statistics.median(speeds) if speeds else self._median

    def forget_points(self) -> None:
        """Keep the speeds alone, for a curve that nobody will draw."""
        self._median = self.median_speed
        self.points.clear()


def _merge(points: Sequence[Point]) -> Point:
    if len(points) == 1:
        return points[0]
    speeds = [point.samples_per_second for point in points]
    accuracies = [point.accuracy for point in points if point.accuracy is not None]
    return Point(
        points[-1].step,
        _harmonic_mean(speeds) if all(map(math.isfinite, speeds)) else math.nan,
        math.fsum(accuracies) / len(accuracies) if accuracies else None,
    )


def _harmonic_mean(speeds: Sequence[float]) -> float:
    # That of `statistics` counts in fractions, which is exact, and 20 times as slow.
    return len(speeds) / math.fsum(1 / speed for speed in speeds) if all(speeds) else 0.0


@dataclass
class RunSummary:
    """What the log of one run of the script tells; grows with `add`.

    Attributes:
        number: Of the run in its log, from 1.
        arguments: All of them, by name; empty where the beginning is missing.
        training_set: Its size, if known.
        resumed: What it went on from, if it did.
        drops: The steps at which the learning rate was to drop.
        learning_rates: Each with the step from which it held.
        verifications: In order.
        checkpoints: In order.
        not_finite: The first event of each value that became infinite or no number.
        error: The last exception of the script.
        curve: Training accuracy and speed.
        last_step: The last that the log tells of.
        started: The first time stamp.
        ended: The last time stamp.
    """

    number: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    training_set: TrainingSet | None = None
    resumed: Resumed | None = None
    drops: tuple[int, ...] = ()
    learning_rates: list[LearningRate] = field(default_factory=list)
    verifications: list[Verification] = field(default_factory=list)
    checkpoints: list[CheckpointSaved] = field(default_factory=list)
    not_finite: dict[tuple[str, str | None], NotFinite] = field(default_factory=dict)
    error: str | None = None
    curve: Curve = field(default_factory=Curve)
    last_step: int | None = None
    started: datetime | None = None
    ended: datetime | None = None
    _numbers: dict[int, int] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take the next event of this run."""
        if event.time:
            self.started = self.started or event.time
            self.ended = event.time
        if isinstance(event, (Speed, Progress, Verification, Resumed)):
            self._reached(event.step)
        if isinstance(event, Speed):
            self.curve.add(Point(event.step, event.samples_per_second, event.accuracy))
        elif isinstance(event, Verification):
            self.verifications.append(event)
        elif isinstance(event, CheckpointSaved):
            self.checkpoints.append(event)
            if event.step is not None:
                self._numbers[event.step] = event.number
        elif isinstance(event, LearningRate):
            self.learning_rates.append(event)
        elif isinstance(event, NotFinite):
            self.not_finite.setdefault((event.what, event.set), event)
        else:
            self._learn(event)

    def _learn(self, event: Event) -> None:
        """Take what is told once in a run."""
        if isinstance(event, TrainingSet):
            self.training_set = event
        elif isinstance(event, Schedule):
            self.drops = event.steps
        elif isinstance(event, ScriptError):
            self.error = event.message
        elif isinstance(event, Arguments):
            self.arguments = event.values
        elif isinstance(event, Resumed):
            self.resumed = event

    def _reached(self, step: int | None) -> None:
        if step is not None:
            self.last_step = max(step, self.last_step or 0)

    def best(self) -> dict[str, Verification]:
        """Return the best verification of each set; of equal ones the first."""
        best: dict[str, Verification] = {}
        for verification in self.verifications:
            former = best.get(verification.set)
            if math.isfinite(verification.accuracy) and (
                former is None or verification.accuracy > former.accuracy
            ):
                best[verification.set] = verification
        return best

    def checkpoint_at(self, step: int) -> int | None:
        """Return the number of the checkpoint that was saved at a step; None if none was."""
        return self._numbers.get(step)


def summarise(events: Iterable[Event], name: str, *, curves: bool = False) -> list[RunSummary]:
    """Return a summary of each run in a log.

    Args:
        events: Of the log.
        name: What to call it in an error.
        curves: Keep the points of all training curves; otherwise a log of very many runs takes
            no memory for them.

    Raises:
        LogError: It is no log of the training script.
    """
    runs: list[RunSummary] = []
    known = False
    for event in events:
        if not runs or isinstance(event, Arguments):
            if runs and not curves:
                runs[-1].curve.forget_points()
            runs.append(RunSummary(len(runs) + 1))
        runs[-1].add(event)
        known = known or not isinstance(event, ScriptError)
    if not known:
        raise LogError(
            f"{name} holds no line that train_softmax.py prints",
            remedy="Give the output of the training script: what `mfn-patch train` keeps as "
            "output.log in a run's folder, or a log of your own.",
        )
    return runs


def as_json(runs: Sequence[RunSummary], name: str) -> dict[str, Any]:
    """Return summaries as ``docs/schema/log.json`` describes them."""
    return {
        "file": name,
        "runs": [
            {
                "run": run.number,
                "arguments": dict(run.arguments),
                "started": _iso(run.started),
                "ended": _iso(run.ended),
                "images": run.training_set.images if run.training_set else None,
                "steps_per_epoch": run.training_set.steps_per_epoch if run.training_set else None,
                "resumed": None
                if run.resumed is None
                else {"checkpoint": run.resumed.number, "step": run.resumed.step},
                "last_step": run.last_step,
                "speed": {
                    "median": finite(run.curve.median_speed),
                    "mean": finite(run.curve.mean_speed),
                    "lines": run.curve.lines,
                },
                "accuracy": finite(run.curve.accuracy),
                "lr_steps": list(run.drops),
                "error": run.error,
            }
            for run in runs
        ],
        "verifications": [
            {
                **_result(run, entry),
                "accuracy_without_flip": finite(entry.accuracy_without_flip),
                "std_without_flip": finite(entry.std_without_flip),
                "time": _iso(entry.time),
            }
            for run in runs
            for entry in run.verifications
        ],
        "best": [_result(run, entry) for run in runs for entry in run.best().values()],
        "learning_rates": [
            {
                "run": run.number,
                "step": entry.step,
                "value": finite(entry.value),
                "time": _iso(entry.time),
            }
            for run in runs
            for entry in run.learning_rates
        ],
        "checkpoints": [
            {
                "run": run.number,
                "number": entry.number,
                "step": entry.step,
                "path": entry.path,
                "time": _iso(entry.time),
            }
            for run in runs
            for entry in run.checkpoints
        ],
        "not_finite": [
            {
                "run": run.number,
                "what": entry.what,
                "set": entry.set,
                "step": entry.step,
                "value": entry.value,
            }
            for run in runs
            for entry in run.not_finite.values()
        ],
    }


def _result(run: RunSummary, entry: Verification) -> dict[str, Any]:
    return {
        "run": run.number,
        "set": entry.set,
        "step": entry.step,
        "accuracy": finite(entry.accuracy),
        "std": finite(entry.std),
        "xnorm": finite(entry.xnorm),
        "checkpoint": run.checkpoint_at(entry.step),
    }


def percent(share: float) -> str:
    """Return a share that the script has printed, with five decimals, in percent.

    Two decimals, and a third where that is a 5: to round a number that is rounded already could
    make 24.50 of 24.4949.
    """
    text = f"{100 * share:.3f}"
    return text if text.endswith("5") else f"{100 * share:.2f}"


def steps_done(last: int, steps: int | None) -> int:
    """Return how many steps of a run are done.

    Args:
        last: the last step that the log tells of.
        steps: how many the run is to take; None for no end.

    Returns:
        `last`, but for the step that the script trains after the last one before it notices that
        it is done, and that no checkpoint has.
    """
    return steps if steps is not None and last == steps + 1 else last


def finite(value: float | None) -> float | None:
    """Return what JSON can hold: it has no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
