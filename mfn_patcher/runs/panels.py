"""The diagrams for which runs have something to show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mfn_patcher.data.verification_set import NAMES
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.recipes import published
from mfn_patcher.recipes.published import Published
from mfn_patcher.runs.summary import RunSummary

_TITLES = {"lfw": "LFW", "cfp_fp": "CFP-FP", "agedb_30": "AgeDB-30"}


class PlotError(MfnPatchError):
    """There is nothing to draw."""


@dataclass(frozen=True)
class PlottedRun:
    """A run to draw.

    Attributes:
        label: its name in the picture.
        summary: summary of its log.
    """

    label: str
    summary: RunSummary


@dataclass(frozen=True)
class Panel:
    """One diagram over the steps.

    Attributes:
        key: ``loss``, ``accuracy``, ``speed`` or the name of a verification set.
        title: title of the diagram.
        unit: unit of its vertical axis.
    """

    key: str
    title: str
    unit: str

    @property
    def is_verification(self) -> bool:
        """Whether it shows results on a verification set."""
        return self.key not in ("loss", "accuracy", "speed")


def panels(runs: Sequence[PlottedRun]) -> list[Panel]:
    """Return the diagrams for which these runs have something to show.

    Raises:
        PlotError: there are none.
    """
    sets = {entry.set for run in runs for entry in run.summary.verifications}
    candidates = [
        Panel("loss", "Training loss", ""),
        Panel("accuracy", "Training accuracy", "%"),
        Panel("speed", "Speed, including verification and saving", "images/s"),
        *(Panel(name, f"{title_of(name)}, accuracy with flip", "%") for name in in_order(sets)),
    ]
    found = [panel for panel in candidates if any(points_of(run.summary, panel) for run in runs)]
    if not found:
        names = ", ".join(run.label for run in runs)
        raise PlotError(
            f"nothing to draw: {names} has no training line and no verification result",
            remedy="The script prints its first training line after 21 steps, or at the end of a "
            "shorter epoch.",
        )
    return found


def in_order(sets: Iterable[str]) -> list[str]:
    """Return the names of verification sets: those of the recipe in its order, then others."""
    names = set(sets)
    return [*(name for name in NAMES if name in names), *sorted(names.difference(NAMES))]


def title_of(name: str) -> str:
    """Return the name of a verification set as publications write it."""
    return _TITLES.get(name, name)


def points_of(summary: RunSummary, panel: Panel) -> list[tuple[int, float]]:
    """Return steps and values of a run, without NaN, Inf and values of unknown steps."""
    pairs: list[tuple[int | None, float | None]]
    if panel.key == "accuracy":
        pairs = [
            (p.step, None if p.accuracy is None else 100 * p.accuracy) for p in summary.curve.points
        ]
    elif panel.key == "loss":
        pairs = [(p.step, p.loss) for p in summary.curve.points]
    elif panel.key == "speed":
        pairs = [(p.step, p.samples_per_second) for p in summary.curve.points]
    else:
        pairs = [(v.step, 100 * v.accuracy) for v in summary.verifications if v.set == panel.key]
    return [
        (step, value)
        for step, value in pairs
        if step is not None and value is not None and math.isfinite(value)
    ]


def published_for(runs: Sequence[PlottedRun]) -> list[Published]:
    """Return the published accuracies of the same losses as these runs."""
    types = {run.summary.arguments.get("loss_type") for run in runs}
    return [entry for entry in published.load() if None in types or entry.loss_type in types]


def published_on(name: str, runs: Sequence[PlottedRun]) -> dict[float, list[str]]:
    """Return the published accuracies on a set, in percent, and whose they are."""
    found: dict[float, list[str]] = {}
    for entry in published_for(runs):
        if name in entry.accuracies:
            found.setdefault(entry.accuracies[name], []).append(entry.label)
    return dict(sorted(found.items()))


def plotted_runs(label: str, summaries: Sequence[RunSummary]) -> Iterator[PlottedRun]:
    """Yield the runs in one log, numbered if there are several."""
    for summary in summaries:
        name = f"{label} ({summary.number})" if len(summaries) > 1 else label
        yield PlottedRun(name, summary)
