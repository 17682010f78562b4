"""The events of a training run: what the script reports while it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that the script reported.

    Attributes:
        time: timestamp of the log line, without a time zone; None if the line has none.
    """

    time: datetime | None


@dataclass(frozen=True)
class Arguments(Event):
    """A run of the script begins.

    Attributes:
        values: all arguments, with the values that the script derives; empty if unreadable.
    """

    values: Mapping[str, Any]


@dataclass(frozen=True)
class TrainingSet(Event):
    """The data set has been opened.

    Attributes:
        images: number of training images.
        steps_per_epoch: number of whole batches among them; None if the batch size is unknown.
    """

    images: int
    steps_per_epoch: int | None


@dataclass(frozen=True)
class Schedule(Event):
    """The steps at which the learning rate will drop to a tenth."""

    steps: tuple[int, ...]


@dataclass(frozen=True)
class Resumed(Event):
    """The run resumes from a checkpoint of its own prefix.

    Attributes:
        number: number of the checkpoint.
        step: the step at which it was saved.
    """

    number: int
    step: int


@dataclass(frozen=True)
class Speed(Event):
    """Some steps were trained: 20, but 21 at the beginning of an epoch, or a shorter epoch.

    Attributes:
        epoch: epoch, from 0.
        batch: last of their batches of the epoch, from 0.
        step: last of their steps, from 1; None if the log does not give the length of an epoch.
        samples_per_second: speed since the last such event, verification included.
        accuracy: training accuracy since then, 0 to 1.
        loss: mean loss since then; None if the script does not print it.
    """

    epoch: int
    batch: int
    step: int | None
    samples_per_second: float
    accuracy: float | None
    loss: float | None


@dataclass(frozen=True)
class LearningRate(Event):
    """The learning rate changes.

    Attributes:
        step: the step after which it changes; 0 for the first rate, or the step that the run
            resumes from; None if the log does not say.
        value: the learning rate.
    """

    step: int | None
    value: float


@dataclass(frozen=True)
class Progress(Event):
    """The script's progress line, every 1,000 steps.

    Attributes:
        step: step of the run; None if the log does not give the length of an epoch.
        epoch: epoch, from 0.
        batch: batch of the epoch, from 0.
        learning_rate: the current learning rate.
    """

    step: int | None
    epoch: int
    batch: int
    learning_rate: float


@dataclass(frozen=True)
class Verification(Event):
    """The result on one verification set.

    Attributes:
        set: name of the set, such as ``lfw``.
        step: step of the run.
        accuracy: accuracy with flip: the mean over 10 folds, 0 to 1.
        std: its standard deviation over the folds.
        xnorm: mean norm of the embeddings; None if its line is missing.
        accuracy_without_flip: accuracy without flip; None if the script does not print it.
        std_without_flip: its standard deviation.
    """

    set: str
    step: int
    accuracy: float
    std: float
    xnorm: float | None
    accuracy_without_flip: float | None
    std_without_flip: float | None


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint was saved.

    Attributes:
        number: number in its file name.
        path: path of the ``.params`` file, as the script prints it.
        step: step of the run; None if the log does not say.
    """

    number: int
    path: str
    step: int | None


@dataclass(frozen=True)
class NotFinite(Event):
    """A value of the previous event is NaN or Inf.

    Attributes:
        what: name of the value, such as ``accuracy`` or ``xnorm``.
        value: ``nan``, ``inf`` or ``-inf``.
        step: step of the run; None if the log does not say.
        set: the verification set; None if it is not about one.
    """

    what: str
    value: str
    step: int | None
    set: str | None


@dataclass(frozen=True)
class ScriptError(Event):
    """An exception was printed.

    Attributes:
        message: the last line of its traceback.
    """

    message: str


def json_values(event: Event) -> dict[str, Any]:
    """Return the attributes of an event as JSON can hold them: with None for NaN and Inf."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in vars(event).items()
    }
