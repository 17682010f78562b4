"""What an evaluation found."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FAR = 1e-3
"""The false accept rate at which upstream's protocol states the true accept rate."""


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic, over falling strictness.

    Attributes:
        fpr: False positive rates (of pairs that don't match, taken as matching), 0 to 1.
        tpr: True positive rates for the same thresholds, 0 to 1.
    """

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


@dataclass(frozen=True)
class Figures:
    """How well a checkpoint does on a verification set: all rates 0 to 1, means over ten folds.

    Attributes:
        pairs: Size of the set.
        accuracy: With flip, which is what the training script prints: of the sum of an image's
            embedding and its mirror image's.
        std: Standard deviation of `accuracy` over the folds.
        accuracy_without_flip: Of the embeddings of the images as they are.
        std_without_flip: Standard deviation of that.
        threshold: Squared distance below which a pair is taken as matching, with flip.
        tar: True accept rate at a false accept rate of `FAR`, with flip.
        tar_std: Standard deviation of that.
        far: The false accept rate on the folds that the thresholds for `tar` were not chosen on.
        xnorm: Mean length of the embeddings.
        roc: With flip.
    """

    pairs: int
    accuracy: float
    std: float
    accuracy_without_flip: float
    std_without_flip: float
    threshold: float
    tar: float
    tar_std: float
    far: float
    xnorm: float
    roc: Roc


@dataclass(frozen=True)
class Evaluation:
    """All that was found.

    Attributes:
        figures: By number of the checkpoint, then by set, both in order.
        failed: Why checkpoints could not be evaluated, by number.
        engine: ``name``, ``build`` and ``reason`` of what computed; None for an exported model.
    """

    figures: Mapping[int, Mapping[str, Figures]]
    failed: Mapping[int, str]
    engine: Mapping[str, str] | None = None

    @property
    def best(self) -> int | None:
        """The checkpoint with the highest mean accuracy; of equals the last, as in training."""
        return max(self.figures, key=lambda number: (self._mean(number), number), default=None)

    def best_on(self, name: str) -> int:
        """Return the checkpoint with the highest accuracy on a set; of equals the last."""
        return max(self.figures, key=lambda number: (self.figures[number][name].accuracy, number))

    def _mean(self, number: int) -> float:
        return statistics.fmean(figures.accuracy for figures in self.figures[number].values())


def parse(table: Mapping[str, Any]) -> Figures:
    """Return the figures that the probe states."""
    roc = Roc(tuple(table["roc"]["fpr"]), tuple(table["roc"]["tpr"]))
    return Figures(**{**table, "roc": roc})
