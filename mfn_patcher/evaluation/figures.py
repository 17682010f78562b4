"""The results of an evaluation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mfn_patcher.trainer.mfn_trainer.ranking import best_of

FAR = 1e-3
"""False accept rate at which upstream's protocol measures the true accept rate."""


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic, from the strictest threshold on.

    Attributes:
        fpr: false positive rates, 0 to 1: the share of different pairs that are accepted.
        tpr: true positive rates at the same thresholds, 0 to 1.
    """

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


@dataclass(frozen=True)
class Figures:
    """How well a checkpoint does on a verification set. Rates are 0 to 1, means over ten folds.

    With flip, an image is represented by the sum of its embedding and its mirror image's. The
    training script prints the accuracy with flip.

    Attributes:
        pairs: number of pairs in the set.
        different: number of pairs of two people among them; `tar` depends on the FAR-th part of
            them that is accepted, which is few.
        accuracy: accuracy with flip.
        std: standard deviation of `accuracy` over the folds.
        accuracy_without_flip: accuracy without flip.
        std_without_flip: standard deviation of `accuracy_without_flip` over the folds.
        threshold: squared distance below which a pair is accepted, with flip, for `accuracy`.
        threshold_without_flip: the same without flip, for `accuracy_without_flip`.
        tar: true accept rate with flip, at thresholds that have `FAR` on the other nine folds.
        tar_std: standard deviation of `tar` over the folds.
        far: false accept rate on the folds that the thresholds of `tar` were not chosen on.
        xnorm: mean length of the embeddings.
        roc: receiver operating characteristic, with flip.
    """

    pairs: int
    different: int
    accuracy: float
    std: float
    accuracy_without_flip: float
    std_without_flip: float
    threshold: float
    threshold_without_flip: float
    tar: float
    tar_std: float
    far: float
    xnorm: float
    roc: Roc

    @property
    def cosine(self) -> float:
        """Cosine of two embeddings above which a pair is accepted, without flip."""
        # The squared distance of two vectors of length 1 is 2 - 2 * cosine.
        return 1 - self.threshold_without_flip / 2


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        figures: figures by number of the checkpoint, then by set, both in order.
        failed: why checkpoints could not be evaluated, by number.
        engine: ``name``, ``build`` and ``reason`` of the engine; None for an exported model.
    """

    figures: Mapping[int, Mapping[str, Figures]]
    failed: Mapping[int, str]
    engine: Mapping[str, str] | None = None

    @property
    def best(self) -> int | None:
        """Checkpoint with the best mean accuracy over the sets."""
        return best_of({number: self._mean(number) for number in self.figures})

    def best_on(self, name: str) -> int | None:
        """Return the checkpoint with the best accuracy on a set."""
        return best_of({number: sets[name].accuracy for number, sets in self.figures.items()})

    def _mean(self, number: int) -> float:
        return statistics.fmean(figures.accuracy for figures in self.figures[number].values())


def parse(table: Mapping[str, Any]) -> Figures:
    """Return the figures that program ``evaluate`` reports."""
    roc = Roc(tuple(table["roc"]["fpr"]), tuple(table["roc"]["tpr"]))
    return Figures(**{**table, "roc": roc})
