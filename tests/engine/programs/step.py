"""One training step of networks of the script in double precision; runs in the src folder.

    python step.py < STEPS

STEPS is a JSON list of [COMMAND, SIZE, BATCH, START.npz, FOUND.npz]. COMMAND contains the script's
arguments, SIZE is the side of the images. START contains the arguments and states before the step;
if it is missing, they are drawn and written. FOUND receives the outputs, gradients and moving
averages of the step, and the outputs of inference after it. It runs on whichever package is called
mxnet.

Dropout drops nothing, and MXNet's one-hot vectors are made double precision.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.update(MXNET_MKLDNN_ENABLED="0", MXNET_STORAGE_FALLBACK_LOG_VERBOSE="0")

import mxnet as mx
import numpy as np

from tests.engine.programs import symbols

ON_TORCH = mx.engine == "torch"


def prepare(text: str) -> str:
    """Return the text of a symbol without dropout and in double precision."""
    graph = json.loads(text)
    for node in graph["nodes"]:
        if node["op"] == "Dropout":
            node["attrs"]["p"] = "0"
        if node["op"] == "one_hot" and not ON_TORCH:
            node["attrs"]["dtype"] = "float64"
    return json.dumps(graph)


def draw(symbol: Any, size: int, batch: int) -> list[dict[str, Any]]:
    """Return random arguments and auxiliary states for a step, by name."""
    random = np.random.RandomState(batch)
    shapes, _, states = symbol.infer_shape(data=(batch, 3, size, size), softmax_label=(batch,))

    def numbers(name: str, shape: tuple[int, ...]) -> Any:
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


def bind(text: str, arguments: Mapping[str, Any], states: Mapping[str, Any]) -> Any:
    """Return an executor of the package, with gradients of all arguments."""
    if ON_TORCH:
        from mxnet.executor import Executor  # noqa: PLC0415, of the engine alone

        return Executor(text, arguments, states, list(arguments))
    gradients = {name: mx.nd.zeros_like(array) for name, array in arguments.items()}
    return mx.sym.load_json(text).bind(mx.cpu(), arguments, gradients, "write", states)


def compute(command: str, size: int, batch: int, start: str, found: str) -> None:
    """Compute a step."""
    with contextlib.redirect_stdout(sys.stderr):
        symbol = symbols.build(command)
    if not Path(start).exists():
        begin = draw(symbol, size, batch)
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
    for step in json.load(sys.stdin):
        compute(*step)
