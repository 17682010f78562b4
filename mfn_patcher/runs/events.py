"""What a run's log tells, kept in files while the run goes: ``events.jsonl``, ``verification.csv``.

``events.jsonl`` has one JSON object a line: ``event``, the name of the event's class in
``mfn_patcher.runs.log`` with underscores; ``time``, when it was seen, UTC; and the event's own
values, null for what is no number. ``verification.csv`` has the verifications.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

from mfn_patcher.runs.log import Event, LogStream, Verification

EVENTS = "events.jsonl"
VERIFICATION = "verification.csv"
COLUMNS = ("time", "set", "step", "accuracy", "std", "xnorm")

_encode = json.JSONEncoder(ensure_ascii=False).encode


class Listener(Protocol):
    """Wants to know of more than events."""

    def heard(self, chunk: bytes) -> None:
        """Take what was written since the last call."""

    def tick(self) -> None:
        """Do what is due, many times a second."""


class Watch:
    """Reads a log as it grows, for `process.run`, and hands each event on.

    Args:
        keep: Gets the events first, all that came at once.
        consumers: Get each event, in this order.
        listeners: Hear of the output before its events are handed on.
    """

    def __init__(
        self,
        keep: Callable[[Sequence[Event]], None],
        *consumers: Callable[[Event], None],
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._keep = keep
        self._consumers = consumers
        self._listeners = listeners
        self._stream = LogStream()

    def __call__(self, chunk: bytes) -> None:
        """Take what was written since the last call; nothing, when the log has ended."""
        for listener in self._listeners if chunk else ():
            listener.heard(chunk)
        events = self._stream.feed(chunk) if chunk else self._stream.end()
        if events:
            self._keep(events)
        for event in events:
            for consume in self._consumers:
                consume(event)

    def tick(self) -> None:
        """Let the listeners do what is due."""
        for listener in self._listeners:
            listener.tick()


class EventFiles:
    """Appends events to the files of a run's folder at once, so that a kill loses none.

    When the files can't be written any more, on a full disk for instance, that is told once, and
    the run goes on without them: the log has all that they would have.
    """

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self._report = report
        self._files: list[TextIO] = []
        self._paths = (folder / EVENTS, folder / VERIFICATION)

    def __enter__(self) -> EventFiles:
        try:
            self._files = [path.open("a", encoding="utf-8") for path in self._paths]
            csv.writer(self._files[1], lineterminator="\n").writerow(COLUMNS)
            self._files[1].flush()
        except OSError as error:
            self._give_up(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def __call__(self, seen: Sequence[Event]) -> None:
        """Append events that were seen at once, by one write: there can be 1,000 a second."""
        if not self._files:
            return
        events, verification = self._files
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        rows = [
            [time, *(getattr(event, name) for name in COLUMNS[1:])]
            for event in seen
            if isinstance(event, Verification)
        ]
        try:
            events.write("".join(f"{_encode(as_json(event, time))}\n" for event in seen))
            events.flush()
            if rows:
                csv.writer(verification, lineterminator="\n").writerows(rows)
                verification.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._report(f"{EVENTS} and {VERIFICATION} are not written any more: {error.strerror}")
        self._close()

    def _close(self) -> None:
        files, self._files = self._files, []
        for file in files:
            try:
                file.close()
            except OSError:
                # What could not be written before can't now either.
                continue


def as_json(event: Event, time: str) -> dict[str, Any]:
    """Return what ``events.jsonl`` has of an event.

    Args:
        event: Any.
        time: When it was seen.
    """
    values = {**vars(event)}
    del values["time"]
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[key] = None
    return {"event": _name(type(event).__name__), "time": time, **values}


@functools.cache
def _name(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()


def read_verifications(folder: Path) -> list[Verification]:
    """Return what `EventFiles` has kept of a run's verifications; damaged rows are passed over."""
    path = folder / VERIFICATION
    if not path.exists():
        return []
    found = []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for line in file:
            with contextlib.suppress(ValueError, csv.Error):
                time, name, step, accuracy, std, xnorm = next(csv.reader([line]))
                found.append(
                    Verification(
                        datetime.fromisoformat(time),
                        name,
                        int(step),
                        float(accuracy),
                        float(std),
                        float(xnorm) if xnorm else None,
                        None,
                        None,
                    )
                )
    return found
