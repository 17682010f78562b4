"""Compute the recorded cases with the engine.

    python run_operators.py RECORDED.npz FOUND.npz DTYPE [DEVICE]

DTYPE is float64 or float32, DEVICE is cpu or gpu. FOUND receives each array under "case|key|name",
with the keys of the recording, and the error of a case under "case|error".
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.executor import Executor

from tests.support.operator_vectors import Array, Case, load


def on_device(arrays: Mapping[str, Array], context: Any, dtype: str) -> dict[str, Any]:
    """Return arrays by name as arrays of the engine."""
    return {name: mx.nd.array(value, ctx=context, dtype=dtype) for name, value in arrays.items()}


def to_numbers(arrays: Mapping[str, Any]) -> dict[str, Array]:
    """Return arrays by name as arrays of NumPy."""
    return {name: array.asnumpy() for name, array in arrays.items() if array is not None}


def compute(case: Case, context: Any, dtype: str) -> dict[str, dict[str, Array]]:
    """Return the results that the recording has of a case, by key and name."""
    text = mx.sym.load_json(case.symbol).tojson()
    found: dict[str, dict[str, Array]] = {}

    def bind() -> Any:
        arguments = on_device(case.named["arguments"], context, dtype)
        states = on_device(case.named["auxiliary"], context, dtype)
        return Executor(text, arguments, states, list(arguments))

    def listed(outputs: Sequence[Any]) -> dict[str, Array]:
        return {str(place): output.asnumpy() for place, output in enumerate(outputs)}

    found["inference"] = listed(bind().forward(is_train=False))
    if "training" in case.listed:
        executor = bind()
        found["training"] = listed(executor.forward(is_train=True))
        found["forward_auxiliary"] = to_numbers(executor.aux_dict)
        heads = case.listed["heads"]
        executor.backward([mx.nd.array(head, ctx=context, dtype=dtype) for head in heads])
        found["gradients"] = to_numbers(executor.grad_dict)
        found["auxiliary_after"] = to_numbers(executor.aux_dict)
        found["arguments_after"] = to_numbers(executor.arg_dict)
    return found


def main() -> None:
    """Compute all cases."""
    recorded, path, dtype, *device = sys.argv[1:]
    context = mx.gpu(0) if device == ["gpu"] else mx.cpu()
    found: dict[str, Any] = {}
    for name, case in load(Path(recorded)).items():
        try:
            computed = compute(case, context, dtype)
        except Exception as error:
            found[f"{name}|error"] = np.array(f"{type(error).__name__}: {error}")
            continue
        for key, arrays in computed.items():
            found |= {f"{name}|{key}|{array}": value for array, value in arrays.items()}
    np.savez(path, **found)


if __name__ == "__main__":
    main()
