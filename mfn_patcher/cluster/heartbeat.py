"""Heartbeats: what a rank reports about its processes, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DELIVERY_SECONDS = 0.3
"""Time in which a message from another host arrives."""
_MAX_INTERVAL = 2.0  # seconds
_MISSED = 3

# Phases as the script names them.
START, WAIT, VERIFY, SAVE, END = "start", "wait", "verify", "save", "end"
_ACTIVITIES = {
    "data": "loading data",
    "compute": "computing",
    WAIT: "waiting",
    VERIFY: "verifying",
    SAVE: "saving",
    END: "done",
}


@dataclass(frozen=True)
class Timing:
    """How long the ranks wait for one another.

    Attributes:
        timeout: seconds that a step may take.
    """

    timeout: float

    @property
    def interval(self) -> float:
        """Seconds from one heartbeat to the next."""
        return min(_MAX_INTERVAL, self.timeout / 10)

    @property
    def max_silence(self) -> float:
        """Seconds without a heartbeat after which a rank counts as lost."""
        return self.timeout / 2

    @property
    def suspicious_silence(self) -> float:
        """Seconds without a heartbeat that suggest why a launcher ends the job."""
        return _MISSED * self.interval


@dataclass(frozen=True)
class Heartbeat:
    """The state of a rank.

    Attributes:
        step: number of the step that its worker began last; None before the first report.
        phase: what its worker does, as the script names it; empty before the first report.
        age: seconds since the last report of its worker.
        states: state of the process of each role, as ``ps`` shows it.
    """

    step: int | None = None
    phase: str = ""
    age: float = 0
    states: Mapping[str, str] = field(default_factory=dict)

    @property
    def stopped(self) -> list[str]:
        """Roles whose processes a signal or a debugger has stopped."""
        return [role for role, state in self.states.items() if state in {"T", "t"}]

    def describe(self) -> str:
        """Return where the rank is, for messages."""
        if self.step is None or self.phase == START:
            text = "before its first step"
        else:
            text = f"at step {self.step} ({_ACTIVITIES.get(self.phase, self.phase)})"
        return text + "".join(f", its {role} is stopped" for role in self.stopped)
