"""Record what MXNet on the CPU computes for all cases of operators.

    python record_operators.py FILE.npz

The file contains `cases`, JSON, and `numbers`, all arrays of all cases one after the other in
double precision. A case has a name, symbol (the text of its tojson()), dtype and tolerance, and
arrays by name or in order, each as [offset in numbers, shape]:

    arguments, auxiliary          inputs
    inference                     outputs; inference changes nothing else
    heads                         gradients of the outputs
    training, gradients           outputs, and gradients of the arguments
    forward_auxiliary             auxiliary states after the forward pass of training
    auxiliary_after               auxiliary states after the whole step
    arguments_after               arguments that the whole step changes
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

os.environ.update(
    OMP_NUM_THREADS="1", MXNET_MKLDNN_ENABLED="0", MXNET_STORAGE_FALLBACK_LOG_VERBOSE="0"
)

import mxnet as mx
import numpy as np
import numpy.typing as npt

# These modules add their cases in this order, which the seeds of drawn inputs depend on.
from tests.engine.programs import layer_cases, loss_cases, numeric_cases  # noqa: F401
from tests.engine.programs.operator_cases import CASES

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

TOLERANCE = 1e-9


def drawn(random: np.random.RandomState, shape: tuple[int, ...]) -> Array:
    """Return multiples of 1/64 between 1/64 and 2, of both signs."""
    signs = random.randint(0, 2, shape) * 2 - 1
    numbers: Array = random.randint(1, 129, shape) * signs / 64.0
    return numbers


class Case:
    """A case, as MXNet computes it."""

    def __init__(self, described: Mapping[str, Any], seed: int) -> None:
        self.dtype = described.get("dtype", "float64")
        self.symbol = described["symbol"]
        # One-hot vectors are single precision by default; their values are the same.
        graph = json.loads(self.symbol.tojson())
        if self.dtype == "float64":
            for node in graph["nodes"]:
                if node["op"] == "one_hot":
                    node["attrs"]["dtype"] = "float64"
        self.bound = mx.sym.load_json(json.dumps(graph))
        random = np.random.RandomState(seed)
        given = {name: np.array(value, dtype="f8") for name, value in described["arrays"].items()}
        shapes = {**described["shapes"], **{name: value.shape for name, value in given.items()}}
        shapes, outputs, auxiliary = self.symbol.infer_shape(**shapes)
        self.arguments: Arrays = {
            name: given[name] if name in given else drawn(random, shape)
            for name, shape in zip(self.symbol.list_arguments(), shapes)
        }
        self.auxiliary: Arrays = {
            name: abs(drawn(random, shape))
            for name, shape in zip(self.symbol.list_auxiliary_states(), auxiliary)
        }
        self.heads = [drawn(random, shape) for shape in outputs]

    def run(
        self, arguments: Arrays, training: bool
    ) -> tuple[list[Array], Arrays, Arrays, Arrays, Arrays]:
        """Return outputs, states after the forward pass, gradients, states and arguments."""
        arrays, states, gradients = (
            {name: mx.nd.array(value, dtype=self.dtype) for name, value in values.items()}
            for values in (arguments, self.auxiliary, {n: v * 0 for n, v in arguments.items()})
        )
        executor = self.bound.bind(mx.cpu(), arrays, gradients, "write", states)
        outputs = [output.asnumpy() for output in executor.forward(is_train=training)]
        between = {name: state.asnumpy() for name, state in states.items()}
        if training:
            executor.backward([mx.nd.array(head, dtype=self.dtype) for head in self.heads])
        mx.nd.waitall()
        after = [{n: v.asnumpy() for n, v in them.items()} for them in (gradients, states, arrays)]
        return outputs, between, after[0], after[1], after[2]

    def slope(self, name: str) -> Array:
        """Return the gradient of an argument in which the outputs are linear, by differences."""
        slope = np.zeros_like(self.arguments[name])
        for index in np.ndindex(slope.shape):
            totals = []
            for change in (0.125, -0.125):
                moved = self.arguments[name].copy()
                moved[index] += change
                outputs = self.run({**self.arguments, name: moved}, training=True)[0]
                totals.append(sum((o * h).sum() for o, h in zip(outputs, self.heads)))
            slope[index] = (totals[0] - totals[1]) / 0.25
        return slope


def record(
    described: Mapping[str, Any], seed: int, keep: Callable[[Array], list[Any]]
) -> dict[str, Any]:
    """Return a case as the file describes it; `keep` adds an array to the file."""
    case = Case(described, seed)

    def named(arrays: Arrays) -> dict[str, Any]:
        return {name: keep(array) for name, array in arrays.items()}

    recorded = {
        "name": described["name"],
        "symbol": case.symbol.tojson(),
        "dtype": case.dtype,
        "tolerance": described.get("tolerance", TOLERANCE if case.dtype == "float64" else 1e-6),
        "arguments": named(case.arguments),
        "auxiliary": named(case.auxiliary),
        "inference": [keep(output) for output in case.run(case.arguments, training=False)[0]],
    }
    if described.get("training", True):
        outputs, between, gradients, states, arrays = case.run(case.arguments, training=True)
        gradients.update((name, case.slope(name)) for name in described.get("numeric", ()))
        changed = {n: a for n, a in arrays.items() if not np.array_equal(a, case.arguments[n])}
        recorded |= {
            "heads": [keep(head) for head in case.heads],
            "training": [keep(output) for output in outputs],
            "gradients": named(gradients),
            "forward_auxiliary": named(between),
            "auxiliary_after": named(states),
            "arguments_after": named(changed),
        }
    return recorded


def main() -> None:
    """Record all cases."""
    numbers: list[Array] = []

    def keep(array: Array) -> list[Any]:
        place = sum(part.size for part in numbers)
        numbers.append(np.asarray(array, dtype="f8").ravel())
        return [place, list(array.shape)]

    cases = [record(described, seed, keep) for seed, described in enumerate(CASES)]
    text = json.dumps({"mxnet": mx.__version__, "cases": cases})
    np.savez_compressed(
        sys.argv[1], cases=np.frombuffer(text.encode(), "u1"), numbers=np.concatenate(numbers)
    )


if __name__ == "__main__":
    main()
