"""When a training over hosts hangs, and on whom it waits."""

from __future__ import annotations

import os
import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

STARTS = 10
"""Times the patience, and times the usual step: what may pass before the first step is done, for
it loads verification sets and tunes kernels, and what a step may take later."""

# What the script calls its phases. Rank 0 verifies and saves as long as it takes, while the others
# wait.
_START, _WAIT, _END = "start", "wait", "end"
_LONG = ("verify", "save")
_WORDS = {"compute": "computes", "wait": "waits", "verify": "verifies", "save": "saves"}
_KEPT = 51
_LINE = 64  # bytes, more than the script writes


@dataclass(frozen=True)
class Beat:
    """Where a rank is.

    Attributes:
        step: That its worker has begun last; None before it says any.
        phase: What its worker does, by its own words; empty before it says any.
        age: Seconds since its worker said something.
        states: Of its roles' processes, as ``ps`` has them.
    """

    step: int | None = None
    phase: str = ""
    age: float = 0
    states: Mapping[str, str] = field(default_factory=dict)

    @property
    def stopped(self) -> list[str]:
        """Roles whose processes a signal or a debugger holds."""
        return [role for role, state in self.states.items() if state in {"T", "t"}]

    def describe(self) -> str:
        """Return it for people."""
        if self.step is None or self.phase == _START:
            text = "before its first step"
        else:
            text = f"at step {self.step} ({_WORDS.get(self.phase, self.phase)})"
        return text + "".join(f", its {role} is stopped" for role in self.stopped)


def read_progress(file: int) -> tuple[int, str] | None:
    """Return step and phase that the script tells in a line with its rank; None before it does.

    Args:
        file: descriptor of the file that the script writes them to.
    """
    try:
        _rank, step, phase = os.pread(file, _LINE, 0).decode("ascii").split()
        return int(step), phase
    except (OSError, ValueError):
        return None


class Pace:
    """Judges beats of all ranks by how long steps usually take.

    Args:
        patience: Seconds that a step may take where the usual one is short.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._first: int | None = None
        self._last: tuple[float, int] | None = None
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def note(self, beat: Beat, now: float) -> None:
        """Take rank 0's beat at a time, to learn how long steps take."""
        if beat.step is None or beat.phase == _START:
            return
        if self._first is None:
            self._first = beat.step
        if beat.phase in _LONG:
            self._last = None
        elif self._last is None:
            self._last = now, beat.step
        elif beat.step > self._last[1]:
            self._seconds.append((now - self._last[0]) / (beat.step - self._last[1]))
            self._last = now, beat.step

    def limit(self, beats: Iterable[Beat]) -> float:
        """Return how many seconds may pass without a word from any worker."""
        started = any(
            beat.step is not None and self._first is not None and beat.step > self._first
            for beat in beats
        )
        if not started:
            return STARTS * self._patience
        usual = statistics.median(self._seconds) if self._seconds else 0
        return max(self._patience, STARTS * usual)

    def judge(self, beats: Mapping[int, Beat], names: Mapping[int, str]) -> str | None:
        """Return why the training hangs, or None if it does not.

        Args:
            beats: Of all ranks.
            names: Of the ranks, for people.
        """
        if any(beat.phase in _LONG for beat in beats.values()):
            return None
        working = {rank: beat for rank, beat in beats.items() if beat.phase != _END}
        if not working:
            return None
        waited = min(beat.age for beat in working.values())
        if waited < self.limit(beats.values()):
            return None
        late = _late(working)
        rest = [rank for rank in beats if rank not in late]
        where = _describe(beats, names, late or rest)
        if not late:
            where = f"all wait for a server or the network: {where}"
        elif rest:
            where = f"{where}; the others wait: {_describe(beats, names, rest)}"
        return f"no step is done since {waited:.0f} s: {where}"


def _describe(beats: Mapping[int, Beat], names: Mapping[int, str], ranks: Iterable[int]) -> str:
    return ", ".join(f"{names[rank]} is {beats[rank].describe()}" for rank in ranks)


def _late(beats: Mapping[int, Beat]) -> list[int]:
    """Return the ranks that the others wait for, as far as that can be told."""
    stopped = [rank for rank, beat in beats.items() if beat.stopped]
    if stopped:
        return stopped
    steps = {rank: -1 if beat.step is None else beat.step for rank, beat in beats.items()}
    lowest = [rank for rank, step in steps.items() if step == min(steps.values())]
    if len(lowest) < len(steps):
        return lowest
    return [rank for rank in lowest if beats[rank].phase != _WAIT]
