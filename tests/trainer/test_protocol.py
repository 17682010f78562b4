from __future__ import annotations

import numpy as np
import pytest

from mfn_patcher.trainer.mfn_trainer import protocol


def test_planted_distances() -> None:
    """Of 100 pairs of one person, 90 are near; all of the 100 pairs of two persons are far."""
    same = np.arange(200) % 2 == 0
    distances = np.where(same, 0.5, 1.5)
    distances[::20] = 1.8
    embeddings = np.zeros((400, 1))
    embeddings[1::2, 0] = distances
    curve, rate = protocol.measure(embeddings, same.tolist())
    assert np.mean(curve.accuracies) == pytest.approx(0.95)
    # The smallest threshold of the squared distance that separates them.
    assert set(curve.thresholds) == {0.26}
    assert curve.tpr[26] == pytest.approx(0.9)
    assert curve.fpr[26] == 0
    assert rate.tar == pytest.approx(0.9)
    # Between the last threshold that accepts none and the first that accepts all of them, the
    # rate is interpolated: the threshold for one in a thousand lies just above their distance.
    assert rate.far == 1


def test_nan_is_never_accepted() -> None:
    embeddings = np.full((40, 2), np.nan)
    curve = protocol.measure_curve(embeddings, [True, False] * 10)
    assert set(curve.accuracies) == {0.5}
    assert not curve.tpr.any()


def test_folds_without_a_kind_of_pairs() -> None:
    embeddings = np.zeros((40, 2))
    with pytest.raises(ZeroDivisionError):
        protocol.measure_rate(embeddings, [True] * 20)
