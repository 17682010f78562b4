"""What the engine computes for the recorded cases; a program for the engine.

    python run_operators.py RECORDED.npz FOUND.npz DTYPE [DEVICE]

DTYPE is float64 or float32, DEVICE cpu or gpu. Each array goes into FOUND under "case|key|name",
with the keys of the recording; "case|error" is what a case raises.
"""

import sys
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet.executor import Executor

from tests.support.operator_vectors import Case, load


def on_device(arrays, context, dtype):
    """Return arrays by name, as the engine's."""
    return {name: mx.nd.array(value, ctx=context, dtype=dtype) for name, value in arrays.items()}


def to_numbers(arrays):
    """Return arrays by name, as NumPy's."""
    return {name: array.asnumpy() for name, array in arrays.items() if array is not None}


def compute(case: Case, context, dtype):
    """Return what the recording has of a case, by key and name."""
    text = mx.sym.load_json(case.symbol).tojson()
    found = {}

    def bind():
        arguments = on_device(case.named["arguments"], context, dtype)
        states = on_device(case.named["auxiliary"], context, dtype)
        return Executor(text, arguments, states, list(arguments))

    def listed(outputs):
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


def main():
    """Compute all cases."""
    recorded, path, dtype, *device = sys.argv[1:]
    context = mx.gpu(0) if device == ["gpu"] else mx.cpu()
    found = {}
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
