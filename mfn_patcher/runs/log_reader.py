"""Reading the lines that ``train_softmax.py`` prints.

Understood are the script of 2018 and the patched one, under MXNet 1.1 and 1.9.1, with or without a
time stamp before each line. Lines that do not concern training are skipped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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
from mfn_patcher.runs.namespace import parse_namespace
from mfn_patcher.runs.steps import StepCounter

_INTEGER = r"\d{1,18}"
_STAMP = r"\[?(?P<stamp>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)[^\]\s]*\]?\s+"
_METRIC = {"acc": r"\d\.\d{6}|nan", "lossvalue": r"-?\d+\.\d{6}|-?nan|-?inf"}
_FLOAT = r"\d+\.?\d*(?:[eE][-+]?\d+)?|-?nan|-?inf"

# MXNet 1.1 prints one batch, MXNet 1.9.1 the first and the last of a range.
_SPEED = (
    rf"Epoch\[(?P<epoch>{_INTEGER})\] Batch \[(?:\d+-)?(?P<batch>{_INTEGER})\]"
    r"\s+Speed: (?P<speed>\d+\.\d\d|inf|nan) samples/sec"
    rf"(?:\s+acc=(?P<acc>{_METRIC['acc']}))?(?:\s+lossvalue=(?P<loss>{_METRIC['lossvalue']}))?"
)
_SPEED_LINE = re.compile(rf"(?:{_STAMP})?(?:\w+:\w+:)?{_SPEED}\s*", re.ASCII)

# Where the script prints a fixed number of decimals, they are required, so that a line cut short is
# never read as another number. A line can hold several matches, because two streams write to a log.
_EVENT = re.compile(
    "|".join(
        (
            _SPEED,
            rf"Epoch\[(?P<ended>{_INTEGER})\] (?:Time cost=(?P<seconds>\d+\.\d{{3}})|"
            rf"Train-(?:acc=(?P<epoch_acc>{_METRIC['acc']})|"
            rf"lossvalue=(?P<epoch_loss>{_METRIC['lossvalue']})))",
            r"Called with argument: Namespace\((?P<arguments>.*)\)",
            rf"lr_steps \[(?P<schedule>{_INTEGER}(?:, {_INTEGER})*)\]",
            rf"lr change to (?P<changed>{_FLOAT})",
            rf"lr-batch-epoch: (?P<rate>{_FLOAT}) (?P<rate_batch>{_INTEGER}) "
            rf"(?P<rate_epoch>{_INTEGER})",
            rf"\[(?P<set>[^\[\]]+)\]\[(?P<set_step>{_INTEGER})\](?:"
            r"XNorm: (?P<xnorm>\d+\.\d{6}|-?nan|inf)|"
            r"Accuracy(?P<flip>-Flip)?: (?P<accuracy>\d\.\d{5}|-?nan)\+-(?P<std>\d\.\d{5}|-?nan))",
            r'Saved checkpoint to "(?P<path>[^"]*-(?P<number>\d{4,18})\.params)"',
            rf"resuming from (?P<resumed>{_INTEGER}) at step (?P<resumed_step>{_INTEGER})",
            r"(?P<traceback>Traceback \(most recent call last\))",
        )
    ),
    re.ASCII,
)
_MARKS = (
    *("Speed: ", "Train-", "Time cost", "][", "lr"),
    *("Saved checkpoint", "Called with", "resuming", "Traceback"),
)
_STAMPED = re.compile(rf"\s*{_STAMP}")
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Iteration)(?::.*)?")
_PROGRESS_STEPS = 1000
_SPEED_STEPS = 20


@dataclass
class _EpochValues:
    """The lines at the end of an epoch that precede its last one."""

    epoch: int
    accuracy: float | None = None
    loss: float | None = None


@dataclass
class _Unfinished:
    """The lines of a verification that precede its last one."""

    step: int
    xnorm: float | None = None
    without_flip: tuple[float | None, float | None] = (None, None)


class LogReader:
    """Turns lines into events, in memory that does not grow with the log.

    The lines must come in order. A run begins where the script prints its arguments, so a log can
    hold several runs.
    """

    def __init__(self) -> None:
        self._in_traceback = False
        self._begin({})

    def feed(self, line: str) -> list[Event]:
        """Return the events in a line, in order; most lines have none.

        Args:
            line: a whole line, with or without its line end.
        """
        whole = _SPEED_LINE.fullmatch(line)
        if whole:
            return self._speed(_time(whole["stamp"]), whole)
        awaited = self._awaited(line) if self._in_traceback or self._awaits_images else []
        if not any(mark in line for mark in _MARKS):
            return awaited
        stamped = _STAMPED.match(line)
        time = _time(stamped["stamp"]) if stamped else None
        return awaited + [
            event for match in _EVENT.finditer(line) for event in self._parse_match(time, match)
        ]

    def _begin(self, values: Mapping[str, Any]) -> None:
        """Forget the previous run."""
        self._values = values
        self._awaits_images = bool(values)
        self._steps = StepCounter()
        self._drops: tuple[int, ...] = ()
        self._progress: tuple[int, int] | None = None
        self._verified_step: int | None = None
        self._resumed_step = 0
        self._epoch_values = _EpochValues(0)
        self._unfinished: dict[str, _Unfinished] = {}

    def _awaited(self, line: str) -> list[Event]:
        """Return the events of a line that only its position identifies."""
        stamped = _STAMPED.match(line)
        text = line[stamped.end() if stamped else 0 :].strip()
        time = _time(stamped["stamp"]) if stamped else None
        if self._in_traceback and _RAISED.fullmatch(text):
            self._in_traceback = False
            return [ScriptError(time, text)]
        if self._awaits_images and re.fullmatch(_INTEGER, text, re.ASCII):
            self._awaits_images = False
            images, batch_size = int(text), self._batch_size
            if 0 < batch_size <= images:
                self._steps.per_epoch = images // batch_size
            return [TrainingSet(time, images, self._steps.per_epoch)]
        return []

    @property
    def _batch_size(self) -> int:
        """Images per step, over all workers; 0 if unknown."""
        # On several hosts the script prints the batch size of one worker.
        batch_size, workers = self._values.get("batch_size"), self._values.get("workers", 1)
        known = isinstance(batch_size, int) and isinstance(workers, int)
        return batch_size * workers if known else 0

    def _parse_match(self, time: datetime | None, match: re.Match[str]) -> list[Event]:
        if match["speed"]:
            return self._speed(time, match)
        if match["ended"]:
            return self._epoch_end(time, match)
        if match["arguments"] is not None:
            return self._arguments(time, match["arguments"])
        if match["schedule"]:
            self._drops = tuple(sorted({int(step) for step in match["schedule"].split(",")}))
            return [Schedule(time, self._drops)]
        if match["changed"]:
            value = float(match["changed"])
            step = self._step_of_drop(value)
            return _checked(LearningRate(time, step, value), "value")
        if match["rate"]:
            epoch, batch = int(match["rate_epoch"]), int(match["rate_batch"])
            self._progress = epoch, batch
            step = self._steps.step(epoch, batch)
            return _checked(
                Progress(time, step, epoch, batch, float(match["rate"])), "learning_rate"
            )
        if match["set"]:
            return self._verification(time, match)
        if match["path"]:
            number = int(match["number"])
            return [CheckpointSaved(time, number, match["path"], self._step_of_checkpoint(number))]
        if match["resumed"]:
            return self._resumed(time, int(match["resumed"]), int(match["resumed_step"]))
        self._in_traceback = True
        return []

    def _arguments(self, time: datetime | None, text: str) -> list[Event]:
        values = parse_namespace(text)
        self._begin(values)
        return [Arguments(time, values), *(() if values.get("resume") else self._first_rate(time))]

    def _resumed(self, time: datetime | None, number: int, step: int) -> list[Event]:
        self._resumed_step = step
        late = self._values.get("beta_freeze", 0)
        # If the rate has dropped already, the script prints it next.
        same = isinstance(late, int) and not any(drop + late <= step for drop in self._drops)
        return [Resumed(time, number, step), *(self._first_rate(time) if same else ())]

    def _first_rate(self, time: datetime | None) -> list[Event]:
        rate = self._values.get("lr")
        if not isinstance(rate, (int, float)):
            return []
        return [LearningRate(time, self._resumed_step, float(rate))]

    def _speed(self, time: datetime | None, match: re.Match[str]) -> list[Event]:
        self._awaits_images = False
        self._progress = None
        epoch, batch = int(match["epoch"]), int(match["batch"])
        accuracy, loss = match["acc"], match["loss"]
        event = Speed(
            time,
            epoch,
            batch,
            self._steps.step(epoch, batch),
            float(match["speed"]),
            float(accuracy) if accuracy else None,
            float(loss) if loss else None,
        )
        return _checked(event, "accuracy", "loss")

    def _epoch_end(self, time: datetime | None, match: re.Match[str]) -> list[Event]:
        """Take a line at the end of an epoch, whose values are of the steps since a speed line.

        In an epoch with speed lines these are the last few steps, at most 20, or, under MXNet 1.9,
        those of a speed line at the last step again; both would misrepresent the training. Only an
        epoch that is too short for a speed line is described by them.
        """
        epoch = int(match["ended"])
        if self._epoch_values.epoch != epoch:
            self._epoch_values = _EpochValues(epoch)
        values = self._epoch_values
        if match["epoch_acc"]:
            values.accuracy = float(match["epoch_acc"])
        elif match["epoch_loss"]:
            values.loss = float(match["epoch_loss"])
        length = self._steps.per_epoch
        if not match["seconds"] or not length or length > _SPEED_STEPS or not self._batch_size:
            return []
        self._awaits_images = False
        # A run that resumes within an epoch trains the rest of it.
        resumed_epoch, done = divmod(self._resumed_step, length)
        images = (length - (done if epoch == resumed_epoch else 0)) * self._batch_size
        seconds = float(match["seconds"])
        event = Speed(
            time,
            epoch,
            length - 1,
            self._steps.step(epoch, length - 1),
            images / seconds if seconds else math.inf,
            values.accuracy,
            values.loss,
        )
        return _checked(event, "accuracy", "loss")

    def _verification(self, time: datetime | None, match: re.Match[str]) -> list[Event]:
        name, step = match["set"], int(match["set_step"])
        self._verified_step = step
        if self._progress and step % _PROGRESS_STEPS == 0:
            # Nothing was trained since epoch and batch were printed, so they are of this step.
            self._steps.fix(step, *self._progress)
            self._progress = None
        if any(unfinished.step != step for unfinished in self._unfinished.values()):
            self._unfinished.clear()
        unfinished = self._unfinished.setdefault(name, _Unfinished(step))
        if match["xnorm"]:
            unfinished.xnorm = float(match["xnorm"])
            return []
        accuracy, std = float(match["accuracy"]), float(match["std"])
        if not match["flip"]:
            unfinished.without_flip = accuracy, std
            return []
        del self._unfinished[name]
        event = Verification(
            time, name, step, accuracy, std, unfinished.xnorm, *unfinished.without_flip
        )
        return _checked(event, "accuracy", "std", "xnorm")

    def _step_of_drop(self, value: float) -> int | None:
        """Return the step at which the learning rate drops to a value, by the script's schedule.

        Drops are counted by value, not by lines, because a line may be missing.
        """
        first = self._values.get("lr")
        if not isinstance(first, (int, float)) or not (0 < value < first < math.inf):
            return None
        count = round(math.log10(first / value))
        late = self._values.get("beta_freeze", 0)
        if not 1 <= count <= len(self._drops) or not isinstance(late, int):
            return None
        return max(self._drops[count - 1] + late, self._resumed_step)

    def _step_of_checkpoint(self, number: int) -> int | None:
        """Return the step of a checkpoint: that of the verification before it, or by its number."""
        step, self._verified_step = self._verified_step, None
        every = self._values.get("verbose")
        if step is None and isinstance(every, int):
            return number * every
        return step


def _time(stamp: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp) if stamp else None
    except ValueError:
        return None


def _checked(event: Event, *names: str) -> list[Event]:
    """Return an event, followed by one more for each of these values that is NaN or Inf."""
    events = [event]
    for name in names:
        value = getattr(event, name)
        if value is not None and not math.isfinite(value):
            step, of = getattr(event, "step", None), getattr(event, "set", None)
            events.append(NotFinite(event.time, name, str(value), step, of))
    return events
