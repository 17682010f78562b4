"""The events of a run, kept in files during the run: ``events.jsonl`` and ``verification.csv``.

``events.jsonl`` has one JSON object per line: ``event``, the name of the event's class in
`mfn_patcher.runs.events` in snake case; ``time``, when it was seen, in UTC; and the event's own
values, with null for NaN and Inf. ``verification.csv`` has the verification results.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import logging
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from mfn_patcher.runs.events import Event, Verification, json_values
from mfn_patcher.runs.record import utc_now

_LOG = logging.getLogger(__name__)

EVENTS = "events.jsonl"
VERIFICATION = "verification.csv"
COLUMNS = ("time", "set", "step", "accuracy", "std", "xnorm")

_encode = json.JSONEncoder(ensure_ascii=False).encode


class EventFiles:
    """Appends events at once to the files in a run's folder, so that a kill loses none.

    If the files can no longer be written, for example because the disk is full, a warning is
    logged once and the run continues without them: the log has everything that they would have.
    """

    def __init__(self, folder: Path) -> None:
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

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, seen: Sequence[Event]) -> None:
        """Append events that arrived together in one write: there can be 1,000 per second."""
        if not self._files:
            return
        events, verification = self._files
        time = utc_now()
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
        _LOG.warning("no longer writing %s and %s: %s", EVENTS, VERIFICATION, error.strerror)
        self._close()

    def _close(self) -> None:
        files, self._files = self._files, []
        for file in files:
            # What could not be written before cannot be written now either.
            with contextlib.suppress(OSError):
                file.close()


def as_json(event: Event, time: str) -> dict[str, Any]:
    """Return an event as ``events.jsonl`` has it.

    Args:
        event: the event.
        time: when it was seen.
    """
    return {"event": _name(type(event).__name__), **json_values(event), "time": time}


@functools.cache
def _name(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()


def read_verifications(folder: Path) -> list[Verification]:
    """Return the verification results that `EventFiles` has kept; damaged rows are skipped."""
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
