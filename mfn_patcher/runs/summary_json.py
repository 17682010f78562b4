"""Summaries of runs as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mfn_patcher.runs.events import Event, NotFinite, Verification, json_values
from mfn_patcher.runs.summary import RunSummary


def as_json(runs: Sequence[RunSummary], name: str) -> dict[str, Any]:
    """Return summaries as ``docs/schema/log.json`` describes them.

    Args:
        runs: the runs in one log.
        name: name of the log.
    """
    return {
        "file": name,
        "runs": [_run(run) for run in runs],
        "verifications": [
            {**_row(run, entry), "checkpoint": run.checkpoint_at(entry.step)}
            for run in runs
            for entry in run.verifications
        ],
        "best": [_result(run, entry) for run in runs for entry in run.best().values()],
        "learning_rates": [_row(run, entry) for run in runs for entry in run.learning_rates],
        "checkpoints": [_row(run, entry) for run in runs for entry in run.checkpoints],
        "not_finite": [
            _not_finite(run, entry) for run in runs for entry in run.not_finite.values()
        ],
    }


def finite(value: float | None) -> float | None:
    """Return a value that JSON can hold: None for NaN and Inf."""
    return value if value is not None and math.isfinite(value) else None


def _run(run: RunSummary) -> dict[str, Any]:
    return {
        "run": run.number,
        "arguments": dict(run.arguments),
        "started": _iso(run.started),
        "ended": _iso(run.ended),
        "images": run.training_set.images if run.training_set else None,
        "steps_per_epoch": run.training_set.steps_per_epoch if run.training_set else None,
        "resumed": None
        if run.resumed is None
        else {"checkpoint": run.resumed.number, "step": run.resumed.step},
        "last_step": run.last_step,
        "speed": {
            "median": finite(run.curve.median_speed),
            "mean": finite(run.curve.mean_speed),
            "lines": run.curve.lines,
        },
        "accuracy": finite(run.curve.accuracy),
        "loss": finite(run.curve.loss),
        "lr_steps": list(run.lr_steps),
        "error": run.error,
    }


def _result(run: RunSummary, entry: Verification) -> dict[str, Any]:
    return {
        "run": run.number,
        "set": entry.set,
        "step": entry.step,
        "accuracy": finite(entry.accuracy),
        "std": finite(entry.std),
        "xnorm": finite(entry.xnorm),
        "checkpoint": run.checkpoint_at(entry.step),
    }


def _row(run: RunSummary, event: Event) -> dict[str, Any]:
    """Return an event with its own values."""
    return {"run": run.number, **json_values(event), "time": _iso(event.time)}


def _not_finite(run: RunSummary, entry: NotFinite) -> dict[str, Any]:
    return {
        "run": run.number,
        "what": entry.what,
        "set": entry.set,
        "step": entry.step,
        "value": entry.value,
    }


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
