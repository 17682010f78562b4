"""One training step of a network of the script in double precision; for the src folder.

    python step.py COMMAND SIZE BATCH START.npz FOUND.npz

COMMAND is the script's arguments, SIZE the edge of the images. START holds what the step begins
with; if it is missing it is drawn and written. FOUND gets outputs, gradients and moving averages
after the step, and the outputs of inference then. It runs on whichever package is called mxnet.

Dropout drops nothing, and MXNet's one hot vectors are told that they are of double precision.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

os.environ.update(MXNET_MKLDNN_ENABLED="0", MXNET_STORAGE_FALLBACK_LOG_VERBOSE="0")

import mxnet as mx
import numpy as np
import symbols

ON_TORCH = mx.engine == "torch"


def prepare(text):
    """Return the text of a symbol as it is computed here."""
    graph = json.loads(text)
    for node in graph["nodes"]:
        if node["op"] == "Dropout":
            node["attrs"]["p"] = "0"
        if node["op"] == "one_hot" and not ON_TORCH:
            node["attrs"]["dtype"] = "float64"
    return json.dumps(graph)


def draw(symbol, size, batch):
    """Return arguments and auxiliary states for a step, by name."""
    random = np.random.RandomState(batch)
    shapes, _, states = symbol.infer_shape(data=(batch, 3, size, size), softmax_label=(batch,))

    def numbers(name, shape):
        if name == "data":
            return random.randint(0, 256, shape)
        if name == "softmax_label":
            return random.randint(0, symbols.CLASSES, shape)
        if len(shape) > 1:
            return random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        if "gamma" in name or "var" in name:
            return random.uniform(0.5, 1.0, shape)
        return random.standard_normal(shape) * 0.1

    names = symbol.list_arguments(), symbol.list_auxiliary_states()
    return [{n: numbers(n, s) for n, s in zip(*both)} for both in zip(names, (shapes, states))]


def bind(text, arguments, states):
    """Return an executor of the package, with gradients of all arguments."""
    if ON_TORCH:
        from mxnet.executor import Executor  # noqa: PLC0415, of the engine alone

        return Executor(text, arguments, states, list(arguments))
    gradients = {name: mx.nd.zeros_like(array) for name, array in arguments.items()}
    return mx.sym.load_json(text).bind(mx.cpu(), arguments, gradients, "write", states)


def main():
    """Make the step."""
    command, size, batch, start, found = symbols.given[1:]
    with contextlib.redirect_stdout(sys.stderr):
        symbol = symbols.build(command)
    if not Path(start).exists():
        begin = draw(symbol, int(size), int(batch))
        arrays = {f"{i}{n}": a for i, them in enumerate(begin) for n, a in them.items()}
        np.savez(start, **{name: array.astype("f8") for name, array in arrays.items()})
    with np.load(start) as file:
        arguments, states = (
            {
                name[1:]: mx.nd.array(file[name], dtype="float64")
                for name in file.files
                if name[0] == kind
            }
            for kind in "01"
        )
    executor = bind(prepare(symbol.tojson()), arguments, states)
    results = {f"training {i}": o.asnumpy() for i, o in enumerate(executor.forward(is_train=True))}
    executor.backward()
    for kind, arrays in (("gradient of", executor.grad_dict), ("after", executor.aux_dict)):
        results |= {f"{kind} {n}": array.asnumpy() for n, array in arrays.items()}
    outputs = executor.forward(is_train=False)
    results |= {f"inference {i}": output.asnumpy() for i, output in enumerate(outputs)}
    np.savez(found, **results)


if __name__ == "__main__":
    main()
