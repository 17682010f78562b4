"""Reading what ``train_softmax.py`` prints, line by line or as it arrives.

Of this script as it was in 2018 and as the patches leave it, under MXNet 1.1 and 1.9.1, with or
without a time stamp before each line. Lines that say nothing of the training are passed over.
"""

from __future__ import annotations

import ast
import codecs
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from mfn_patcher.encoding import detect

_CHUNK = 1 << 20  # bytes
_MARK = 4  # bytes, of the longest byte order mark
# The longest line of the script, its arguments, has about a thousand characters. What is longer
# than this is no text, and must not fill the memory.
_LONGEST_LINE = 1 << 16  # bytes

_INTEGER = r"\d{1,18}"
_STAMP = r"\[?(?P<stamp>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)[^\]\s]*\]?\s+"
_FLOAT = r"\d+\.?\d*(?:[eE][-+]?\d+)?|-?nan|-?inf"

# The Speedometer of MXNet 1.1 prints one batch, that of 1.9.1 the first and the last.
_SPEED = (
    rf"Epoch\[(?P<epoch>{_INTEGER})\] Batch \[(?:\d+-)?(?P<batch>{_INTEGER})\]"
    r"\s+Speed: (?P<speed>\d+\.\d\d|inf|nan) samples/sec"
    r"(?:\s+acc=(?P<acc>\d\.\d{6}|nan))?(?:\s+lossvalue=(?P<loss>-?\d+\.\d{6}|-?nan|-?inf))?"
)
_SPEED_LINE = re.compile(rf"(?:{_STAMP})?(?:\w+:\w+:)?{_SPEED}\s*", re.ASCII)

# Where the script prints a fixed number of decimals they are demanded, so that a line cut short
# is never read as another number. One line can hold several matches: two streams write to a log.
_TOLD = re.compile(
    "|".join(
        (
            _SPEED,
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
_MARKS = ("Speed: ", "][", "lr", "Saved checkpoint", "Called with", "resuming", "Traceback")
_STAMPED = re.compile(rf"\s*{_STAMP}")
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Iteration)(?::.*)?")
_PROGRESS_STEPS = 1000
_INTEGER_BITS = 64


@dataclass(frozen=True)
class Event:
    """Something that the script told.

    Attributes:
        time: The stamp before the line, as it is there (no zone); None without one.
    """

    time: datetime | None


@dataclass(frozen=True)
class Arguments(Event):
    """A run of the script begins.

    Attributes:
        values: All arguments, and what the script has made of them; empty if they can't be read.
    """

    values: Mapping[str, Any]


@dataclass(frozen=True)
class TrainingSet(Event):
    """The data set is open.

    Attributes:
        images: That it trains with.
        steps_per_epoch: Whole batches in them; None if the batch size isn't known.
    """

    images: int
    steps_per_epoch: int | None


@dataclass(frozen=True)
class Schedule(Event):
    """The steps at which the learning rate will drop to a tenth."""

    steps: tuple[int, ...]


@dataclass(frozen=True)
class Resumed(Event):
    """The run goes on from a checkpoint of its own prefix.

    Attributes:
        number: Of the checkpoint.
        step: At which it was saved; the next is trained.
    """

    number: int
    step: int


@dataclass(frozen=True)
class Speed(Event):
    """Some steps were trained: 20, the first time 21.

    Attributes:
        epoch: From 0.
        batch: Of the epoch, from 0.
        step: Of the run, from 1; None if the log doesn't tell how long an epoch is.
        samples_per_second: Since the last such event, so with the time that verification took.
        accuracy: Share of right classifications since then, 0 to 1.
        loss: Since then; None for all loss types of the recipe, which print none.
    """

    epoch: int
    batch: int
    step: int | None
    samples_per_second: float
    accuracy: float | None
    loss: float | None


@dataclass(frozen=True)
class LearningRate(Event):
    """From this step on, the learning rate is another.

    Attributes:
        step: After which it changed; 0 for the first, or the step that the run goes on from;
            None if the log doesn't tell.
        value: The learning rate.
    """

    step: int | None
    value: float


@dataclass(frozen=True)
class Progress(Event):
    """The script's own sign of life, every 1000 steps.

    Attributes:
        step: Of the run; None if the log doesn't tell how long an epoch is.
        epoch: From 0.
        batch: Of the epoch, from 0.
        learning_rate: Now.
    """

    step: int | None
    epoch: int
    batch: int
    learning_rate: float


@dataclass(frozen=True)
class Verification(Event):
    """The result on one verification set.

    Attributes:
        set: Its name, such as ``lfw``.
        step: Of the run.
        accuracy: With flip: mean of the 10 folds, 0 to 1.
        std: Of it over the folds.
        xnorm: Mean norm of the embeddings; None if its line is missing.
        accuracy_without_flip: None for this script as it is, which doesn't print it.
        std_without_flip: Of that.
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
        number: In its file name.
        path: Of the ``.params`` file, as the script prints it.
        step: Of the run; None if the log doesn't tell.
    """

    number: int
    path: str
    step: int | None


@dataclass(frozen=True)
class NotFinite(Event):
    """A value of the event before this one is infinite or not a number.

    Attributes:
        what: Its name there, such as ``accuracy`` or ``xnorm``.
        value: ``nan``, ``inf`` or ``-inf``.
        step: Of the run; None if the log doesn't tell.
        set: The verification set, if it is about one.
    """

    what: str
    value: str
    step: int | None
    set: str | None


@dataclass(frozen=True)
class ScriptError(Event):
    """An exception ended something; its last line."""

    message: str


# Lines whose last number has no fixed length: one cut short reads as another.
_OF_ANY_LENGTH = (LearningRate, Progress, Resumed, TrainingSet)


class LogReader:
    """Turns lines into events; what it remembers does not grow with the log.

    The lines must come in order. A run begins where the script prints its arguments, so that a
    log can hold several.
    """

    def __init__(self) -> None:
        self._in_traceback = False
        self._begin({})

    def feed(self, line: str) -> list[Event]:
        """Return the events that a line tells, in order; mostly none.

        Args:
            line: Whole, with or without its end.
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
            event for match in _TOLD.finditer(line) for event in self._told(time, match)
        ]

    def _begin(self, values: Mapping[str, Any]) -> None:
        """Forget the run before."""
        self._values = values
        self._awaits_images = bool(values)
        self._steps = _Steps()
        self._drops: tuple[int, ...] = ()
        self._progress: tuple[int, int] | None = None
        self._verified_step: int | None = None
        self._resumed_step = 0
        self._unfinished: dict[str, _Unfinished] = {}

    def _awaited(self, line: str) -> list[Event]:
        """Return what is told by a line that only its place marks."""
        stamped = _STAMPED.match(line)
        text = line[stamped.end() if stamped else 0 :].strip()
        time = _time(stamped["stamp"]) if stamped else None
        if self._in_traceback and _RAISED.fullmatch(text):
            self._in_traceback = False
            return [ScriptError(time, text)]
        if self._awaits_images and re.fullmatch(_INTEGER, text, re.ASCII):
            self._awaits_images = False
            images, batch_size = int(text), self._values.get("batch_size")
            # On several hosts the script tells the batch of one of its workers.
            workers = self._values.get("workers", 1)
            if isinstance(batch_size, int) and isinstance(workers, int):
                batch_size *= workers
                if 0 < batch_size <= images:
                    self._steps.per_epoch = images // batch_size
            return [TrainingSet(time, images, self._steps.per_epoch)]
        return []

    def _told(self, time: datetime | None, match: re.Match[str]) -> list[Event]:
        if match["speed"]:
            return self._speed(time, match)
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
        values = _parse_arguments(text)
        self._begin(values)
        return [Arguments(time, values), *(() if values.get("resume") else self._first_rate(time))]

    def _resumed(self, time: datetime | None, number: int, step: int) -> list[Event]:
        self._resumed_step = step
        late = self._values.get("beta_freeze", 0)
        # Another rate than the first is printed next.
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

    def _verification(self, time: datetime | None, match: re.Match[str]) -> list[Event]:
        name, step = match["set"], int(match["set_step"])
        self._verified_step = step
        if self._progress and step % _PROGRESS_STEPS == 0:
            # Nothing was trained since the script told epoch and batch, so they belong together.
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
        """Return the step at which the learning rate came to a value, by the script's schedule.

        Counted by value, not by lines, for one may be missing.
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
        """Return the step of a checkpoint: of the verification before it, else by its number."""
        step, self._verified_step = self._verified_step, None
        every = self._values.get("verbose")
        if step is None and isinstance(every, int):
            return number * every
        return step


class LogStream:
    """Turns a log's bytes into events as they arrive, in chunks of any size.

    They are UTF-8, or UTF-16 and the like, if the log was written by PowerShell.
    """

    def __init__(self) -> None:
        self._reader = LogReader()
        self._rest = b""
        self._skipping = False
        self._start: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events of the lines that are whole now; the rest waits for its end."""
        chunk = self._as_utf8(chunk)
        *lines, rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        if lines and self._skipping:
            del lines[0]
            self._skipping = False
        if len(rest) > _LONGEST_LINE:
            rest, self._skipping = b"", True
        self._rest = rest
        feed = self._reader.feed
        return [event for line in lines if line for event in feed(line.decode("utf-8", "replace"))]

    def end(self) -> list[Event]:
        """Return the events of a last line without an end, if nothing can be missing there."""
        if self._start is not None:
            self._rest = self._begin(self._start)
        rest, self._rest = self._rest, b""
        if self._skipping:
            return []
        events = self._reader.feed(rest.decode("utf-8", "replace"))
        return [event for event in events if not isinstance(event, _OF_ANY_LENGTH)]

    def _as_utf8(self, chunk: bytes) -> bytes:
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < _MARK:
                self._start = chunk
                return b""
            return self._begin(chunk)
        return self._decoder.decode(chunk).encode() if self._decoder else chunk

    def _begin(self, start: bytes) -> bytes:
        """Take the first bytes, which tell the encoding; return them as UTF-8."""
        self._start = None
        encoding = detect(start)
        if encoding != "utf-8":
            self._decoder = codecs.getincrementaldecoder(encoding)("replace")
            return self._decoder.decode(start).encode()
        return start


def read_events(file: BinaryIO) -> Iterator[Event]:
    """Yield the events of a log, to its end."""
    stream = LogStream()
    while chunk := file.read(_CHUNK):
        yield from stream.feed(chunk)
    yield from stream.end()


@dataclass
class _Unfinished:
    """The lines of a verification before its last."""

    step: int
    xnorm: float | None = None
    without_flip: tuple[float | None, float | None] = (None, None)


class _Steps:
    """Counts steps through the epochs, which is what the script's speed lines are numbered by.

    Epoch 0 begins with step 1. How long an epoch is follows from the data set and the batch
    size where the script has printed them, and otherwise from a step that is known in a later
    epoch.
    """

    def __init__(self) -> None:
        self.per_epoch: int | None = None
        self._epoch, self._before = 0, 0

    def step(self, epoch: int, batch: int) -> int | None:
        """Return the step of a batch; None if that isn't known."""
        if epoch == self._epoch:
            return self._before + batch + 1
        if self.per_epoch is None:
            return None
        return self._before + (epoch - self._epoch) * self.per_epoch + batch + 1

    def fix(self, step: int, epoch: int, batch: int) -> None:
        """Learn that a batch is of this step."""
        before = step - batch - 1
        if self.per_epoch is None and epoch > self._epoch:
            length, rest = divmod(before - self._before, epoch - self._epoch)
            if length > 0 and not rest:
                self.per_epoch = length
        self._epoch, self._before = epoch, before


def _time(stamp: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp) if stamp else None
    except ValueError:
        return None


def _checked(event: Event, *names: str) -> list[Event]:
    """Return an event, and one more for each of these values that is no number."""
    events = [event]
    for name in names:
        value = getattr(event, name)
        if value is not None and not math.isfinite(value):
            step, of = getattr(event, "step", None), getattr(event, "set", None)
            events.append(NotFinite(event.time, name, str(value), step, of))
    return events


def _parse_arguments(text: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"Namespace({text})", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {}
    if not isinstance(call, ast.Call):
        return {}
    return {word.arg: _value(word.value) for word in call.keywords if word.arg}


def _value(node: ast.expr) -> Any:
    """Return a value that JSON and UTF-8 can hold; as text what is no such literal."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        value = ast.unparse(node)
    return [_plain(item) for item in value] if isinstance(value, list) else _plain(value)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < _INTEGER_BITS else hex(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    # A path that isn't UTF-8 is printed with lone surrogates.
    text = value if isinstance(value, str) else repr(value)
    return text.encode("utf-8", "backslashreplace").decode()
