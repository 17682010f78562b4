"""Report whether the gradients of PReLU's slopes agree with differences of the loss, as JSON.

Runs in the workspace's src folder:

    slope_gradients OUTPUT < CASES

CASES is a JSON list of argument lists of train_softmax.py. The real script runs up to the call of
Module.fit; the network that it passes there is bound again, on the first GPU of
CUDA_VISIBLE_DEVICES or on the CPU, and computes one step on random images. Whether gradients are
right depends on how memory is planned, so they are measured with the data type and on the device
used for training. OUTPUT receives a JSON object: "device" is where it was computed, "small" is
measured on a small network with the script's own PReLU, and "cases" has the measurements on some
layers for each case: lists of a name, the derivative of the loss by the gradient, and the
derivative by differences. "error" is what ended the program before that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mfn_patcher.children.programs.dry_run import report_on, run

BATCH = 4
# Only every fourth layer is measured, because each takes two passes.
STRIDE = 4
# How far slopes move for a difference. The loss changes by much more than rounding errors of single
# precision and its own curvature.
STEP = 0.005
# The slopes of the small network: none is the square of another, or close to 1.
SLOPES = (0.25, 0.5, 0.1, 0.9, -0.3, 0.7)

Array = npt.NDArray[Any]
Measured = list[tuple[str, float, float]]
"""Name, derivative of the loss by the gradient, and derivative by differences."""


class RandomNetwork:
    """A network with random parameters, and a random batch for it."""

    def __init__(
        self,
        symbol: Any,
        shape: tuple[int, ...],
        classes: int,
        changed: Mapping[str, Array],
    ) -> None:
        """Bind a network.

        Args:
            symbol: the network, with inputs data and softmax_label, and the softmax as its last
                output.
            shape: shape of an image: channels, height, width.
            classes: number of classes.
            changed: values of parameters that are not random, by name.
        """
        import mxnet as mx

        random = np.random.RandomState(1)
        self._labels = random.randint(0, classes, BATCH)
        images = random.randint(0, 256, (BATCH, *shape)).astype(np.float32)
        self._batch = mx.io.DataBatch(
            [mx.nd.array(images)], [mx.nd.array(self._labels.astype(np.float32))]
        )
        self._module = mx.mod.Module(symbol, context=[device()])
        self._module.bind(
            data_shapes=[("data", images.shape)],
            label_shapes=[("softmax_label", (BATCH,))],
            for_training=True,
        )
        np.random.seed(1)
        mx.random.seed(1)
        self._module.init_params(initializer=mx.init.Xavier())
        arguments, self._states = self._module.get_params()
        self.parameters: dict[str, Array] = {
            name: array.asnumpy() for name, array in arguments.items()
        }
        self.parameters.update(changed)
        self._names = [
            name for name in symbol.list_arguments() if name not in ("data", "softmax_label")
        ]

    def loss(self, **changed: Array) -> float:
        """Return the mean cross entropy of the batch, with some parameters changed."""
        import mxnet as mx

        values = {**self.parameters, **changed}
        arguments = {name: mx.nd.array(value) for name, value in values.items()}
        self._module.set_params(arguments, self._states)
        self._module.forward(self._batch, is_train=True)
        odds = self._module.get_outputs()[-1].asnumpy().astype(np.float64)
        return float(-np.log(odds[np.arange(BATCH), self._labels]).mean())

    def gradients(self) -> dict[str, Array]:
        """Return the gradients of all parameters, by name."""
        self.loss()
        self._module.backward()
        arrays = self._module._exec_group.grad_arrays
        return {name: array.asnumpy() for name, (array,) in zip(self._names, arrays)}

    def difference(self, name: str, direction: Array) -> float:
        """Return the derivative of the loss as a parameter moves, by a central difference."""
        before = self.parameters[name]
        above, below = (
            self.loss(**{name: (before + step * direction).astype(np.float32)})
            for step in (STEP, -STEP)
        )
        return (above - below) / (2 * STEP)


def device() -> Any:
    """Return the first device that the script trains on."""
    import mxnet as mx

    return mx.gpu(0) if os.environ.get("CUDA_VISIBLE_DEVICES") else mx.cpu()


def slopes(graph: Mapping[str, Any]) -> list[str]:
    """Return the names of PReLU's slopes in a symbol's JSON: gammas that no batch norm has."""
    nodes = graph["nodes"]
    norms = {nodes[node["inputs"][1][0]]["name"] for node in nodes if node["op"] == "BatchNorm"}
    names = [node["name"] for node in nodes if node["op"] == "null"]
    return [name for name in names if name.endswith("_gamma") and name not in norms]


def small() -> Measured:
    """Measure each slope of a convolution's PReLU; no two slopes are equal."""
    import mxnet as mx
    import symbol_utils

    # Numbers are centred, because slopes only matter below zero.
    data = (mx.sym.Variable("data") - 127.5) * 0.0078125
    data = mx.sym.Convolution(data, num_filter=len(SLOPES), kernel=(3, 3), name="conv")
    data = symbol_utils.Act(data=data, act_type="prelu", name="relu")
    data = mx.sym.FullyConnected(data, num_hidden=3, name="fc")
    symbol = mx.sym.SoftmaxOutput(data, name="softmax", normalization="valid")
    network = RandomNetwork(symbol, (3, 6, 6), 3, {"relu_gamma": np.array(SLOPES, np.float32)})
    found = network.gradients()["relu_gamma"]
    return [
        (f"relu_gamma[{i}]", float(found[i]), network.difference("relu_gamma", direction))
        for i, direction in enumerate(np.eye(len(SLOPES)))
    ]


def real(module: Any, train_data: Any, **arguments: Any) -> Measured:
    """Measure some layers of the network that Module.fit is called with.

    The slopes of a layer move along their gradient, where the loss changes most.
    """
    import mxnet as mx

    graph = json.loads(module.symbol.tojson())
    for node in graph["nodes"]:
        if node["op"] == "Dropout":  # it would drop other numbers at each pass
            node["attrs"]["p"] = "0"
    (shape,) = (tuple(item[1][1:]) for item in train_data.provide_data)
    network = RandomNetwork(mx.sym.load_json(json.dumps(graph)), shape, 2, {})
    gradients = network.gradients()
    names = slopes(graph)
    found: Measured = []
    for name in [*names[:-1:STRIDE], *names[-1:]]:
        gradient = gradients[name].astype(np.float64)
        length = np.linalg.norm(gradient)
        direction = gradient / length if length else np.full_like(gradient, gradient.size**-0.5)
        measured = (name, float(gradient @ direction), network.difference(name, direction))
        found.append(measured)
    return found


def main() -> None:
    """Run all cases and write the report."""
    report_on(
        lambda script, cases: {
            "device": str(device()),
            "cases": [run(script, case, real) for case in cases],
            "small": small(),
        }
    )
