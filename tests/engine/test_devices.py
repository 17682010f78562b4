"""Module.fit on two devices computes what MXNet does on two devices."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.support.engine_children import answer, recorded

# MXNet keeps the momentum of moving averages in single precision, whatever the type of the arrays.
TOLERANCE = 1e-6


def assert_equal(found: Any, expected: Any) -> None:
    assert found["calls"] == expected["calls"] == [[3, 3, 3]] * 12
    ours, theirs = (
        [one["outputs"], *itertools.chain.from_iterable(one["epochs"])] for one in (found, expected)
    )
    assert len(ours) == len(theirs) == 1 + 2 * 3
    for arrays, others in zip(ours, theirs):
        assert list(arrays) == list(others)
        for name, numbers in arrays.items():
            assert numbers == pytest.approx(others[name], rel=TOLERANCE, abs=TOLERANCE), name


@pytest.mark.torch
def test_computes_what_mxnet_does() -> None:
    """The batch is split, statistics are per device, and moving averages the mean of both."""
    assert_equal(answer("devices", engine=True), recorded("devices"))


@pytest.mark.mxnet
def test_recording_mxnet_again() -> None:
    assert_equal(answer("devices", engine=False), recorded("devices"))
