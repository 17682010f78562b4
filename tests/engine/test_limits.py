"""Intended differences from MXNet: correct slopes, and errors for what the engine lacks."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.support.engine_children import answer

pytestmark = pytest.mark.torch

# What the error of each attempt in `refusals.py` must mention.
NAMED = {
    "operator when composed": "Deconvolution",
    "operator of a file": "Deconvolution",
    "attribute": "act_type=elu",
    "unknown attribute": "colour",
    "missing attribute": "num_hidden",
    "module of the package": "mxnet.contrib",
    "function of arrays": "sparse",
    "optimizer": "Adam",
    "setting of SGD": "clip_gradient",
    "fewer images than devices": "9 devices",
    "array without axes": "without axes",
    "graph that is torn": "not a symbol file",
    "shapes that do not fit": "(2, 3) against (3, 2)",
}
asked = functools.cache(functools.partial(answer, engine=True))


@pytest.mark.parametrize("layer", ["p_gamma", "q_gamma"])
def test_gradients_of_slopes(layer: str) -> None:
    """MXNet 1.9.1 computes them times the slopes."""
    found: dict[str, list[float]] = asked("slopes")[layer]
    assert found["gradient"] == pytest.approx(found["differences"], rel=1e-6)
    assert all(found["gradient"])


@pytest.mark.parametrize("attempt", NAMED)
def test_refuses_by_name(attempt: str) -> None:
    refused: dict[str, Any] = asked("refusals")
    assert refused[attempt] is not None
    of_mxnet, kind, text = refused[attempt]
    assert NAMED[attempt] in text
    assert of_mxnet, kind
