"""Accuracies that others published, to compare with."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.data.verification_set import NAMES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

IDENTITIES = 85164
"""In MS1M as the recipe has it; what was trained on another set does not compare."""

PAIRS = {"lfw": 6000, "cfp_fp": 7000, "agedb_30": 6000}
"""In the verification sets that all of them are measured on."""

_FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Published:
    """What one source reports.

    Attributes:
        source: Who says so.
        stage: Of which stage of training; empty for the end of it.
        label: A short name for both.
        loss_type: Of that training, as the script numbers them: 0 softmax, 4 ArcFace.
        url: Where it is published.
        accuracies: With flip, in percent, by verification set.
        at_least: The sets whose figure is a lower bound.
    """

    source: str
    stage: str
    label: str
    loss_type: int
    url: str
    accuracies: Mapping[str, float]
    at_least: frozenset[str]

    @property
    def title(self) -> str:
        """What to call it in a table or beside a line."""
        return f"{self.source}, {self.stage}" if self.stage else self.source

    def describe(self) -> str:
        """Return its accuracies in words."""
        figures = (
            f"{name} {'at least ' if name in self.at_least else ''}{accuracy:.2f} %"
            for name, accuracy in self.accuracies.items()
        )
        return f"{', '.join(figures)} ({self.title})"


def load() -> tuple[Published, ...]:
    """Return the published accuracies, in the order of training."""
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8"))["figures"]
    return tuple(
        Published(
            source=entry["source"],
            stage=entry.get("stage", ""),
            label=entry["label"],
            loss_type=entry["loss_type"],
            url=entry["url"],
            accuracies={name: entry[name] for name in NAMES if name in entry},
            at_least=frozenset(entry.get("at_least", ())),
        )
        for entry in entries
    )
