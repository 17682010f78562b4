"""Detecting that training on several hosts hangs, and which rank it waits for."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable, Mapping

from mfn_patcher.cluster.heartbeat import END, SAVE, START, VERIFY, WAIT, Heartbeat

STALL_FACTOR = 10
"""Multiple of the timeout that the first step may take, for it loads verification sets and tunes
kernels; and multiple of the usual step that every later one may take."""

# Rank 0 may verify and save for as long as it takes, while the others wait.
_UNLIMITED = (VERIFY, SAVE)
_STEPS_KEPT = 51


class StallDetector:
    """Compares the heartbeats of all ranks with the time that steps usually take.

    Args:
        timeout: seconds that a step may take if the usual one is short.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._first: int | None = None
        self._last: tuple[float, int] | None = None
        self._seconds: deque[float] = deque(maxlen=_STEPS_KEPT)

    def observe(self, heartbeat: Heartbeat, now: float) -> None:
        """Learn from a heartbeat of rank 0 how long steps take.

        Args:
            heartbeat: the heartbeat.
            now: time of the monotonic clock, in seconds.
        """
        if heartbeat.step is None or heartbeat.phase == START:
            return
        if self._first is None:
            self._first = heartbeat.step
        if heartbeat.phase in _UNLIMITED:
            self._last = None
        elif self._last is None:
            self._last = now, heartbeat.step
        elif heartbeat.step > self._last[1]:
            self._seconds.append((now - self._last[0]) / (heartbeat.step - self._last[1]))
            self._last = now, heartbeat.step

    def limit(self, heartbeats: Iterable[Heartbeat]) -> float:
        """Return the seconds after which a run without any progress counts as hung."""
        started = any(
            beat.step is not None and self._first is not None and beat.step > self._first
            for beat in heartbeats
        )
        if not started:
            return STALL_FACTOR * self._timeout
        usual = statistics.median(self._seconds) if self._seconds else 0
        return max(self._timeout, STALL_FACTOR * usual)

    def find_stall(
        self, heartbeats: Mapping[int, Heartbeat], names: Mapping[int, str]
    ) -> str | None:
        """Return why the run counts as hung; None if it does not.

        Args:
            heartbeats: last heartbeat of each rank.
            names: names of the ranks in messages.
        """
        if any(beat.phase in _UNLIMITED for beat in heartbeats.values()):
            return None
        working = {rank: beat for rank, beat in heartbeats.items() if beat.phase != END}
        if not working:
            return None
        stalled = min(beat.age for beat in working.values())
        if stalled < self.limit(heartbeats.values()):
            return None
        late = _find_late(working)
        rest = [rank for rank in heartbeats if rank not in late]
        where = _describe(heartbeats, names, late or rest)
        if not late:
            servers = any("server" in beat.states for beat in heartbeats.values())
            what = "a server or the network" if servers else "the network"
            where = f"all ranks wait for {what}: {where}"
        elif rest:
            where = f"{where}; the others wait: {_describe(heartbeats, names, rest)}"
        return f"no step completed for {stalled:.0f} s: {where}"


def _describe(
    heartbeats: Mapping[int, Heartbeat], names: Mapping[int, str], ranks: Iterable[int]
) -> str:
    return ", ".join(f"{names[rank]} is {heartbeats[rank].describe()}" for rank in ranks)


def _find_late(heartbeats: Mapping[int, Heartbeat]) -> list[int]:
    """Return the ranks that the others wait for, as far as heartbeats show."""
    stopped = [rank for rank, beat in heartbeats.items() if beat.stopped]
    if stopped:
        return stopped
    steps = {rank: -1 if beat.step is None else beat.step for rank, beat in heartbeats.items()}
    lowest = [rank for rank, step in steps.items() if step == min(steps.values())]
    if len(lowest) < len(steps):
        return lowest
    return [rank for rank in lowest if heartbeats[rank].phase != WAIT]
