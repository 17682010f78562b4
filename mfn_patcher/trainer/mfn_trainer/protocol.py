"""Verification as upstream's ``eval/verification.py`` computes it, to the last bit, but faster.

Upstream counts the pairs within each of thousands of thresholds, each time over all pairs. Here the
distances are sorted once for each fold, and the counts looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold

Array = npt.NDArray[Any]

FOLDS = 10
THRESHOLDS = np.arange(0, 4, 0.01)
"""Squared distances that are tried for the accuracy."""
_FINE_THRESHOLDS = np.arange(0, 4, 0.001)
_FALSE_ACCEPTS = 1e-3


class Curve(NamedTuple):
    """What cross-validation over folds of the pairs gives.

    Attributes:
        tpr: mean rate of true accepts at each of `THRESHOLDS`.
        fpr: mean rate of false accepts at each of `THRESHOLDS`.
        accuracies: accuracy of each fold, at the threshold that is best for all others.
        thresholds: that threshold, for each fold.
    """

    tpr: Array
    fpr: Array
    accuracies: Array
    thresholds: Array


class Rate(NamedTuple):
    """The rate of true accepts where one in a thousand different pairs is accepted.

    Attributes:
        tar: mean over the folds.
        std: standard deviation over the folds.
        far: mean rate of false accepts that the thresholds lead to.
    """

    tar: float
    std: float
    far: float


class _Accepts(NamedTuple):
    """Accepted pairs at each threshold, and all pairs, of one person and of two."""

    same: Array
    different: Array
    all_same: int
    all_different: int


def measure(embeddings: Array, same: Sequence[Any], folds: int = FOLDS) -> tuple[Curve, Rate]:
    """Measure embeddings of a verification set.

    Args:
        embeddings: shape (2 * pairs, size), normalised; rows 2i and 2i + 1 are pair i.
        same: for each pair, whether both images show one person.
        folds: number of folds.

    Raises:
        ZeroDivisionError: A fold has pairs of one kind only.
        ValueError: There are fewer pairs than folds.
    """
    return measure_curve(embeddings, same, folds), measure_rate(embeddings, same, folds)


def measure_curve(embeddings: Array, same: Sequence[Any], folds: int = FOLDS) -> Curve:
    """Measure the accuracy; see `measure`."""
    distances, answers = _distances(embeddings), np.asarray(same)
    pairs = min(len(answers), len(distances))
    shape = (folds, len(THRESHOLDS))
    tprs, fprs = np.zeros(shape), np.zeros(shape)
    accuracies, best = np.zeros(folds), np.zeros(folds)
    for fold, (train, test) in enumerate(_split(pairs, folds)):
        counts = _count(THRESHOLDS, distances[train], answers[train])
        correct = (counts.same + counts.all_different - counts.different) / len(train)
        chosen = np.argmax(correct)
        best[fold] = THRESHOLDS[chosen]
        counts = _count(THRESHOLDS, distances[test], answers[test])
        tprs[fold] = counts.same / max(counts.all_same, 1)
        fprs[fold] = counts.different / max(counts.all_different, 1)
        right = counts.same[chosen] + counts.all_different - counts.different[chosen]
        accuracies[fold] = float(right) / len(test)
    return Curve(np.mean(tprs, 0), np.mean(fprs, 0), accuracies, best)


def measure_rate(embeddings: Array, same: Sequence[Any], folds: int = FOLDS) -> Rate:
    """Measure the rate of true accepts; see `measure`."""
    distances, answers = _distances(embeddings), np.asarray(same)
    pairs = min(len(answers), len(distances))
    tars, fars = np.zeros(folds), np.zeros(folds)
    for fold, (train, test) in enumerate(_split(pairs, folds)):
        counts = _count(_FINE_THRESHOLDS, distances[train], answers[train])
        if counts.all_same == 0 or counts.all_different == 0:
            raise ZeroDivisionError("a fold trains on pairs of one kind only")
        rates = counts.different / counts.all_different
        threshold = np.zeros(1)
        if np.max(rates) >= _FALSE_ACCEPTS:
            threshold = np.interp([_FALSE_ACCEPTS], rates, _FINE_THRESHOLDS)
        counts = _count(threshold, distances[test], answers[test])
        # Upstream sums the answers themselves, which need not be 0 and 1.
        tars[fold] = float(counts.same[0]) / float(np.sum(answers[test]))
        fars[fold] = float(counts.different[0]) / float(counts.all_different)
    return Rate(float(np.mean(tars)), float(np.std(tars)), float(np.mean(fars)))


def _distances(embeddings: Array) -> Array:
    distances: Array = np.sum(np.square(np.subtract(embeddings[0::2], embeddings[1::2])), 1)
    return distances


def _split(pairs: int, folds: int) -> Iterator[tuple[Array, Array]]:
    """Yield the pairs that a fold is trained on, and those that it is tested on."""
    indices = np.arange(pairs)
    if folds > 1:
        yield from KFold(n_splits=folds, shuffle=False).split(indices)
    else:
        yield indices, indices


def _count(thresholds: Array, distances: Array, same: Array) -> _Accepts:
    # Compared in the type that np.less() takes for an array and one threshold.
    thresholds = thresholds.astype(np.result_type(distances, thresholds[0]))
    true = same.astype(bool)
    # NaN is sorted to the end, so that it is never counted, as it is never less.
    kinds = [np.sort(distances[true]), np.sort(distances[np.logical_not(true)])]
    accepts = [np.searchsorted(kind, thresholds, side="left") for kind in kinds]
    return _Accepts(accepts[0], accepts[1], len(kinds[0]), len(kinds[1]))
