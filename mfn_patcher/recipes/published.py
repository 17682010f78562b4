"""Published accuracies of MobileFaceNet, to compare results with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.data.verification_set import NAMES
from mfn_patcher.toml import tomllib

IDENTITIES = 85164
"""Identities in the recipe's MS1M. Models trained on another data set are not comparable."""

PAIRS = {"lfw": 6000, "cfp_fp": 7000, "agedb_30": 6000}
"""Pairs in the verification sets that the published accuracies were measured on."""

_FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Published:
    """The accuracies that one source published for one trained model.

    Attributes:
        source: name of the source.
        stage: the training stage they belong to; empty for the end of training.
        label: short name of source and stage, for diagrams.
        loss_type: loss used in training, numbered as in the script: 0 softmax, 4 ArcFace.
        url: address of the source.
        accuracies: accuracy with flip in percent, by verification set.
        at_least: the verification sets whose accuracy is a lower bound.
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
        """Name for tables and legends."""
        return f"{self.source}, {self.stage}" if self.stage else self.source

    def describe(self) -> str:
        """Return the accuracies as a phrase."""
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
