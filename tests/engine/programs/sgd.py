"""SGD on given gradients, to the bit; runs on whichever package is called mxnet.

    python sgd.py [DEVICE]

DEVICE is cpu or gpu. Prints a JSON object with, for each case, the parameters and momenta after
each step in hexadecimal digits, and the learning rates and weight decays of the optimizer.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import mxnet as mx
import numpy as np

logging.disable(logging.WARNING)
CONTEXT = mx.gpu(0) if sys.argv[1:] == ["gpu"] else mx.cpu()
STEPS = 5
# Options of SGD, the learning rate of each step, and whether SGD knows the parameters' names.
CASES: dict[str, tuple[dict[str, float], list[float], bool]] = {
    "as the script": ({"momentum": 0.9, "wd": 4e-5}, [0.1] * STEPS, False),
    "another lr from step 3": ({"momentum": 0.9, "wd": 5e-4}, [0.1, 0.1, 0.01, 0.01, 0.001], False),
    "two devices": ({"momentum": 0.9, "wd": 5e-4, "rescale_grad": 0.5}, [0.1] * STEPS, False),
    "a third of a gradient": (
        {"momentum": 0.95, "wd": 5e-4, "rescale_grad": 1 / 3},
        [0.3] * STEPS,
        False,
    ),
    "no momentum": ({"momentum": 0.0, "wd": 4e-5}, [0.1, 0.1, 0.05, 0.05, 0.05], False),
    "no momentum by default": ({"wd": 0.01}, [0.1] * STEPS, False),
    "no decay": ({"momentum": 0.9, "wd": 0.0}, [0.1] * STEPS, False),
    "with names": ({"momentum": 0.9, "wd": 5e-4}, [0.1] * STEPS, True),
}


class Recorder(mx.optimizer.SGD):
    """SGD that keeps its momenta by name, as the script's own optimizer does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.momenta: dict[str, Any] = {}

    def create_state(self, index: Any, weight: Any) -> Any:
        """Create a state, and keep it."""
        state = super().create_state(index, weight)
        if state is not None:
            self.momenta[self.idx2name.get(index, index)] = state
        return state


def network() -> Any:
    """Return a symbol with all kinds of parameters that names distinguish, and multipliers."""
    weight = mx.sym.Variable("f_weight", shape=(2, 8), lr_mult=2.0, wd_mult=10.0)
    bias = mx.sym.Variable("f_bias", lr_mult=2.0, wd_mult=0.0)
    x = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=2, kernel=(1, 1), name="c")
    x = mx.sym.LeakyReLU(mx.sym.BatchNorm(x, fix_gamma=False, name="b"), act_type="prelu", name="p")
    x = mx.sym.FullyConnected(x, weight=weight, bias=bias, num_hidden=2, name="f")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def hexadecimal(arrays: Mapping[str, Any]) -> dict[str, str]:
    """Return the bytes of arrays by name."""
    return {name: array.asnumpy().tobytes().hex() for name, array in sorted(arrays.items())}


def train(options: Mapping[str, Any], rates: Sequence[float], named: bool) -> dict[str, Any]:
    """Return the state of a module after each step with random parameters and gradients."""
    symbol = network()
    module = mx.mod.Module(symbol, context=[CONTEXT])
    module.bind(data_shapes=[("data", (2, 2, 2, 2))], label_shapes=[("softmax_label", (2,))])
    names = module._param_names
    shapes = dict(zip(names, [(2, 2, 1, 1), (2,), (2,), (2,), (2,), (2, 8), (2,)]))
    random = np.random.RandomState(7)

    def draw(name: str) -> Any:
        return mx.nd.array(random.standard_normal(shapes[name]), dtype="float32")

    averages = {"b_moving_mean": mx.nd.zeros((2,)), "b_moving_var": mx.nd.ones((2,))}
    module.init_params(arg_params={name: draw(name) for name in names}, aux_params=averages)
    if named:
        options = {**options, "param_idx2name": dict(enumerate(names))}
    optimizer = Recorder(learning_rate=rates[0], sym=symbol, **options)
    module.init_optimizer(kvstore=None, optimizer=optimizer)
    steps = []
    for rate in rates:
        optimizer.lr = rate
        for name, gradients in zip(names, module._exec_group.grad_arrays):
            gradients[0][:] = draw(name)
        module.update()
        arguments, _ = module.get_params()
        steps.append(
            {"parameters": hexadecimal(arguments), "momenta": hexadecimal(optimizer.momenta)}
        )
    indices = list(range(len(names)))
    return {
        "names": names,
        "lrs": optimizer._get_lrs(indices),
        "wds": optimizer._get_wds(indices),
        "steps": steps,
    }


def main() -> None:
    """Run all cases."""
    answers = {}
    for name, case in CASES.items():
        with mx.name.NameManager():
            answers[name] = train(*case)
    sys.stdout.write("\n" + json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
