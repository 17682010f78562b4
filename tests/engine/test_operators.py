"""Each operator computes what MXNet does: values, gradients, and updated states."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mfn_patcher.engine.pytorch.mxnet.operators import OPERATORS
from tests.support.engine_children import DATA, run
from tests.support.operator_vectors import Array, distance, listing, load

pytestmark = pytest.mark.torch

CASES = load(DATA / "operators.npz")
# MXNet stores the momentum in single precision, as 0.89999998 instead of 0.9.
MOVING = 2e-7
# Relative to the largest number of an array, and twice the rounding errors of these cases.
SINGLE = 5e-7


class Found:
    """The results of the engine for all cases in one precision."""

    def __init__(self, path: Path, dtype: str) -> None:
        run("run_operators", DATA / "operators.npz", path, dtype, engine=True)
        with np.load(path, allow_pickle=False) as file:
            self._arrays = {key: file[key] for key in file.files}

    def array(self, case: str, key: str, name: str) -> Array:
        """Return an array, which is zero if the engine does not compute it.

        Raises:
            AssertionError: The engine raised an error for the case.
        """
        error = self._arrays.get(f"{case}|error")
        assert error is None, str(error)
        found = self._arrays.get(f"{case}|{key}|{name}")
        return np.zeros(()) if found is None else found.astype("f8")


@pytest.fixture(scope="module", params=["float64", "float32"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    return Found(tmp_path_factory.mktemp("found") / "found.npz", request.param)


@pytest.mark.parametrize("name", CASES)
def test_computes_what_mxnet_does(name: str, found: Found, request: pytest.FixtureRequest) -> None:
    case = CASES[name]
    single = "float32" in request.node.callspec.id
    wrong = {}
    for (key, array), wanted in case.expected().items():
        computed = found.array(name, key, array)
        if computed.shape == () and not wanted.any():
            continue  # neither has a gradient
        tolerance = SINGLE if single else MOVING if key == "auxiliary_after" else case.tolerance
        far = distance(computed, wanted)
        if far > tolerance:
            wrong[key, array] = far
    assert not wrong


def test_every_operator_has_a_case() -> None:
    recorded = {node["op"] for case in CASES.values() for node in json.loads(case.symbol)["nodes"]}
    assert set(OPERATORS) <= recorded, "add a case, then run `python -m tests.engine.record`"


def test_the_listing_is_that_of_the_recording() -> None:
    """A diff of the text shows which recorded cases have changed."""
    assert (DATA / "operators.txt").read_text() == listing(CASES.values())


def test_what_stays_stays(found: Found) -> None:
    """Forward changes no moving average, and a step changes no argument except a fixed gamma."""
    for name, case in CASES.items():
        if "gradients" not in case.named:
            continue
        changed = case.named["arguments_after"]
        for argument, before in case.named["arguments"].items():
            after = changed.get(argument, before)
            assert distance(found.array(name, "arguments_after", argument), after) < SINGLE
