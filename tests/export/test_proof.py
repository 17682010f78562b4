"""Comparing embeddings and layers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mfn_patcher.children.exported import Floats
from mfn_patcher.export.formats.base import HALF, SINGLE, Limits
from mfn_patcher.export.proof import agreement, first_mismatch, worst


def rows(*values: list[float]) -> Floats:
    return np.array(values, dtype=np.float32)


def test_the_worst_row_and_number_count() -> None:
    found = agreement(rows([1, 0], [0, 1], [3, 4]), rows([1, 0], [1, 1], [3, 4]))
    assert found.cosine == pytest.approx(0.5**0.5)
    assert (found.difference, found.scale) == (1, 4)


def test_differences_are_relative_to_large_numbers_alone() -> None:
    small, large = rows([0.5, 0.25]), rows([1000, 500])
    assert agreement(small, small + np.float32(9e-6)).within(SINGLE)
    assert not agreement(small, small + np.float32(2e-5)).within(SINGLE)
    assert agreement(large, large + np.float32(5e-3)).within(SINGLE)
    assert not agreement(large, large + np.float32(2e-2)).within(SINGLE)
    assert agreement(large, large + np.float32(2e-2)).within(HALF)


@pytest.mark.parametrize(("limits", "cosine"), [(SINGLE, 0.999999), (HALF, 0.9999)])
def test_how_far_an_embedding_may_turn(limits: Limits, cosine: float) -> None:
    """As the documents state it: beyond that, a network computes something else."""
    for change, within in ((0.1, True), (2.0, False), (5000.0, False)):
        angle = np.arccos(1 - change * (1 - cosine))
        turned = rows([np.cos(angle), np.sin(angle)])
        # The differences are another limit.
        alone = dataclasses.replace(limits, difference=None)
        assert agreement(rows([1, 0]), turned).within(alone) == within


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_within(bad: float) -> None:
    assert not agreement(rows([1, 2]), rows([1, bad])).within(HALF)


def test_rows_of_zeros() -> None:
    assert agreement(rows([0, 0]), rows([0, 0])).within(SINGLE)
    assert not agreement(rows([0, 0]), rows([1, 0])).within(HALF)


def test_the_first_layer_that_differs_is_named() -> None:
    reference = {"a": rows([1, 2]), "merged": rows([9, 9]), "b": rows([1, 2]), "c": rows([1, 2])}
    found = {"c": rows([2, 1]), "b": rows([1, 3]), "a": rows([1, 2])}
    mismatch = first_mismatch(reference, found, SINGLE)
    assert mismatch is not None
    assert (mismatch[0], mismatch[1].difference) == ("b", 1)
    assert first_mismatch(reference, {"a": reference["a"]}, SINGLE) is None


def test_the_row_furthest_out_of_a_limit() -> None:
    reference = rows([1, 0], [1, 0], [10, 0])
    turned = rows([1, 0], [1, 0.1], [10, 0.5])
    assert worst(reference, turned, SINGLE) == worst(reference, turned, HALF) == 1
    longer = rows([1, 0], [1.1, 0], [10.5, 0])
    assert worst(reference, longer, SINGLE) == 2
    assert worst(reference, rows([1, 0], [1, 0.1], [np.inf, 0]), SINGLE) == 2
