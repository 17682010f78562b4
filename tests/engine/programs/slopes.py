"""Compare the gradients of PReLU slopes with differences of the loss, on the engine.

Prints a JSON object with both for each of two layers, in double precision.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.executor import Executor

SLOPES = [0.25, 0.5, 0.1, 0.9, -0.3, 0.0]
STEP = 1e-5


def network() -> Any:
    """Return a small network with a PReLU in the middle and another at the end."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=6, kernel=(3, 3), name="c")
    x = mx.sym.BatchNorm(x, fix_gamma=False, name="b")
    x = mx.sym.LeakyReLU(x, act_type="prelu", name="p")
    x = mx.sym.LeakyReLU(
        mx.sym.FullyConnected(x, num_hidden=6, name="f"), act_type="prelu", name="q"
    )
    x = mx.sym.FullyConnected(x, num_hidden=3, name="g")
    return mx.sym.SoftmaxOutput(x, name="softmax", normalization="valid")


def main() -> None:
    """Compare both layers."""
    symbol = network()
    random = np.random.RandomState(1)
    labels = random.randint(0, 3, 8)
    shapes, _, states = symbol.infer_shape(data=(8, 2, 5, 5), softmax_label=(8,))
    arguments = {
        name: random.standard_normal(shape) for name, shape in zip(symbol.list_arguments(), shapes)
    }
    # Without biases, each channel has inputs of both signs.
    arguments |= {"b_beta": np.zeros(6), "f_bias": np.zeros(6), "softmax_label": labels}
    arguments |= {"p_gamma": np.array(SLOPES), "q_gamma": np.array(SLOPES[::-1])}
    moving = {n: np.ones(s) for n, s in zip(symbol.list_auxiliary_states(), states)}

    def bind(changed: Mapping[str, Any]) -> Any:
        """Return an executor of the network with some arguments changed."""
        arrays, averages = (
            {name: mx.nd.array(value, dtype="float64") for name, value in them.items()}
            for them in ({**arguments, **changed}, moving)
        )
        return Executor(symbol.tojson(), arrays, averages, ["p_gamma", "q_gamma"])

    def loss(name: str, place: int, change: float) -> float:
        """Return the loss with one slope changed."""
        slopes = np.array(arguments[name])
        slopes[place] += change
        probabilities = bind({name: slopes}).forward(is_train=True)[0].asnumpy()
        return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())

    executor = bind({})
    executor.forward(is_train=True)
    executor.backward()
    answers = {
        name: {
            "gradient": executor.grad_dict[name].asnumpy().tolist(),
            "differences": [
                (loss(name, i, STEP) - loss(name, i, -STEP)) / (2 * STEP)
                for i in range(len(SLOPES))
            ],
        }
        for name in ("p_gamma", "q_gamma")
    }
    sys.stdout.write("\n" + json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
