"""Alarms: events that a user wants to hear about at once, not the next morning."""

from __future__ import annotations

import math
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.runs.events import (
    Arguments,
    CheckpointSaved,
    Event,
    NotFinite,
    Speed,
    Verification,
)

# By this step, the training accuracy of the documented run is hundreds of times above chance, and
# its LFW accuracy above 80 %. A run still at chance has wrong labels, a wrong learning rate or a
# wrong data set.
_WARMUP_STEPS = 2000
_ABOVE_CHANCE = 3.0  # times
_CHANCE_STEPS = 1000
# Three times chance is nearly everything where there are only a few identities.
_HALF = 0.5
# 10-fold accuracy at chance is 0.5; its standard deviation over 6,000 pairs is 0.0065.
CHANCE = 0.55

_SILENCE = 600.0  # seconds
_LONGEST_SILENCES = 5.0  # times the longest so far, for slow machines and large data sets
_DISK_EVERY = 60.0  # seconds


@dataclass(frozen=True)
class Alarm(Event):
    """Something is wrong with a run.

    Attributes:
        kind: ``not-finite``, ``chance``, ``silence`` or ``disk``.
        message: what is wrong, and what to do.
        stops: whether there is no point in continuing.
    """

    kind: str
    message: str
    stops: bool = False


class Alarms:
    """Watches the events of a run and the time between them; each kind of alarm is raised once.

    Args:
        prefix: path prefix of the checkpoints.
        tell: gets each alarm.
        clock: returns a time in seconds.
        free: returns the free bytes of the file system of a folder.
    """

    def __init__(
        self,
        prefix: Path,
        tell: Callable[[Alarm], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._prefix = prefix
        self._tell = tell
        self._clock = clock
        self._free = free
        self._told: set[str] = set()
        self._identities = 0
        # Step and accuracy of the last steps, and the first step of all.
        self._accuracies: deque[tuple[int, float]] = deque()
        self._first_step: int | None = None
        self._saved: int | None = None
        self._good: int | None = None
        # The step of the last verification, and whether all of its figures were finite.
        self._verified: tuple[int, bool] | None = None
        self._heard = self._looked = clock()
        self._longest = 0.0

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, Arguments):
            identities = event.values.get("num_classes")
            self._identities = identities if isinstance(identities, int) else 0
        elif isinstance(event, Speed):
            self._read(event)
        elif isinstance(event, NotFinite):
            self._not_finite(event)
        elif isinstance(event, Verification):
            self._verify(event)
            if event.set == "lfw" and event.step >= _WARMUP_STEPS and event.accuracy < CHANCE:
                self._alarm(
                    "chance",
                    f"LFW is at {event.accuracy:.2%} after {event.step:,} steps, which is chance "
                    "level. Check the data set, the learning rate and the starting checkpoint.",
                )
        elif isinstance(event, CheckpointSaved):
            self._saved = event.number
            if self._verified and self._verified[1]:
                # The script verifies exactly what it then saves.
                self._good = self._saved
            self._verified = None
            self._look_at_the_disk()

    def heard(self, _chunk: bytes) -> None:
        """Note that there is output."""
        now = self._clock()
        self._longest = max(self._longest, now - self._heard)
        self._heard = now
        self._told.discard("silence")

    def tick(self) -> None:
        """Check what happens without an event."""
        now = self._clock()
        silence = now - self._heard
        if silence > max(_SILENCE, _LONGEST_SILENCES * self._longest):
            self._alarm(
                "silence",
                f"no output for {silence / 60:.0f} minutes. Use `top` and `nvidia-smi` to see "
                "whether the script is still working; Ctrl-C stops it.",
            )
        if now - self._looked > _DISK_EVERY:
            self._look_at_the_disk()

    def _read(self, event: Speed) -> None:
        values = [value for value in (event.loss, event.accuracy) if value is not None]
        if values and all(map(math.isfinite, values)):
            # A checkpoint saved before a good step is good.
            self._good = self._saved
        if event.accuracy is None or event.step is None:
            return
        if self._first_step is None:
            self._first_step = event.step
        self._accuracies.append((event.step, event.accuracy))
        while self._accuracies[0][0] <= event.step - _CHANCE_STEPS:
            self._accuracies.popleft()
        enough = event.step >= max(_WARMUP_STEPS, self._first_step + _CHANCE_STEPS)
        if not (enough and self._identities):
            return
        mean = math.fsum(accuracy for _, accuracy in self._accuracies) / len(self._accuracies)
        if mean < min(_ABOVE_CHANCE / self._identities, _HALF):
            self._alarm(
                "chance",
                f"the training accuracy is {mean:.6f} after {event.step:,} steps, which is chance "
                f"level with {self._identities:,} identities. Check labels and learning rate.",
            )

    def _verify(self, event: Verification) -> None:
        figures = (event.accuracy, event.std, event.xnorm)
        finite = all(math.isfinite(value) for value in figures if value is not None)
        if self._verified and self._verified[0] == event.step:
            finite = finite and self._verified[1]
        self._verified = event.step, finite

    def _not_finite(self, event: NotFinite) -> None:
        where = f" of {event.set}" if event.set else ""
        step = f" at step {event.step:,}" if event.step is not None else ""
        last = f"The last good checkpoint is {self._prefix},{self._good}."
        if self._good is None:
            last = "No good checkpoint was saved."
        if self._saved != self._good:
            last += f" Do not use checkpoint {self._saved}, which was saved after it."
        self._alarm(
            "not-finite",
            f"{event.what}{where} is {event.value}{step}. {last} A lower learning rate may help.",
            stops=True,
        )

    def _look_at_the_disk(self) -> None:
        self._looked = self._clock()
        needed = 2 * checkpoints.largest(self._prefix)
        try:
            free = self._free(self._prefix.parent)
        except OSError:
            return
        if free < needed:
            self._alarm(
                "disk",
                f"only {free / 1e6:,.0f} MB are free in {self._prefix.parent} for the next "
                "checkpoint. Free some space.",
            )
        else:
            self._told.discard("disk")

    def _alarm(self, kind: str, message: str, *, stops: bool = False) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._tell(Alarm(None, kind, message, stops))
