"""Summaries of the runs in a log: results, learning rates, checkpoints and the training curve.

A summary takes memory for each verification and checkpoint, but not for each line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.runs.curve import Curve, Point
from mfn_patcher.runs.events import (
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
from mfn_patcher.trainer.mfn_trainer.ranking import best_of


class LogError(MfnPatchError):
    """A file is not a log of the training script."""


@dataclass
class RunSummary:
    """The summary of the log of one run of the script; it grows with `add`.

    Attributes:
        number: number of the run in its log, from 1.
        arguments: all arguments of the script, by name; empty if the beginning is missing.
        training_set: size of the data set; None if unknown.
        resumed: the checkpoint that it resumed from; None if it did not.
        lr_steps: the steps at which the learning rate was to drop.
        learning_rates: the learning rates, each with the step at which it begins.
        verifications: the verification results, in order.
        checkpoints: the saved checkpoints, in order.
        not_finite: the first event of each value that became NaN or Inf.
        error: the last exception of the script; None if there was none.
        curve: training loss, accuracy and speed.
        last_step: the last step in the log; None if there is none.
        started: the first time stamp; None without any.
        ended: the last time stamp.
    """

    number: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    training_set: TrainingSet | None = None
    resumed: Resumed | None = None
    lr_steps: tuple[int, ...] = ()
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
            self.curve.add(Point(event.step, event.samples_per_second, event.accuracy, event.loss))
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
        """Take an event that comes once in a run."""
        if isinstance(event, TrainingSet):
            self.training_set = event
        elif isinstance(event, Schedule):
            self.lr_steps = event.steps
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
        """Return the best result on each set that has one."""
        found: dict[str, dict[int, Verification]] = {}
        for verification in self.verifications:
            found.setdefault(verification.set, {})[verification.step] = verification
        return {
            name: entries[step]
            for name, entries in found.items()
            if (step := best_of({s: entry.accuracy for s, entry in entries.items()})) is not None
        }

    def checkpoint_at(self, step: int) -> int | None:
        """Return the number of the checkpoint saved at a step; None if none was saved."""
        return self._numbers.get(step)


def summarise(events: Iterable[Event], name: str, *, curves: bool = False) -> list[RunSummary]:
    """Return a summary of each run in a log.

    Args:
        events: events of the log.
        name: name of the log in an error.
        curves: whether to keep the points of all training curves, which take memory in a log of
            very many runs.

    Raises:
        LogError: it is not a log of the training script.
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
            f"{name} contains no line that train_softmax.py prints",
            remedy="Pass the output of the training script, such as the output.log that "
            "`mfn-patch train` keeps in a run's folder.",
        )
    return runs


def percent(share: float) -> str:
    """Return a share that the script printed with five decimals, in percent.

    The result has two decimals, and a third if that is a 5, because rounding a rounded number
    again could turn 24.4949 into 24.50.
    """
    text = f"{100 * share:.3f}"
    return text if text.endswith("5") else f"{100 * share:.2f}"


def steps_done(last: int, steps: int | None) -> int:
    """Return the number of completed steps of a run.

    Args:
        last: the last step in the log.
        steps: the number of steps that the run is to train; None without a limit.

    Returns:
        `last`, without the extra step that the script trains before it notices that it has
        finished, and that is in no checkpoint.
    """
    return steps if steps is not None and last == steps + 1 else last
