"""Whether the gradients of PReLU's slopes are what differences of the loss say, as JSON.

Run by the training interpreter in the workspace's src folder:

    python slope_gradients.py OUTPUT < CASES

CASES is a JSON list of argument lists of train_softmax.py. The real script runs up to the call of
Module.fit; the network that it hands over there is bound anew, on the first GPU of
CUDA_VISIBLE_DEVICES or on the CPU, and goes through one step on random images. Gradients are
wrong or right depending on how memory is planned, so they are measured in the type and on the
device that training uses. OUTPUT receives a JSON object: "device" is where it was computed, "small"
is measured on a small network with the script's own PReLU, and "cases" holds, for each case, what
was measured on some layers: lists of a name, the derivative of the loss by the gradient, and the
derivative by differences. "error" is what ended the program before that.
"""

import json
import os
import sys
import traceback

import numpy as np
from dry_run import run

BATCH = 4
# Every so many layers of a network are measured: two passes each.
STRIDE = 4
# How far slopes move for a difference. Rounding errors of single precision are well below what
# the loss changes by, and so is the curvature of the loss.
STEP = 0.005
# Of the small network: none is another's square, or could be taken for 1.
SLOPES = (0.25, 0.5, 0.1, 0.9, -0.3, 0.7)


class Net:
    """A network with random parameters, and a random batch for it."""

    def __init__(self, symbol, shape, classes, changed):
        """Bind a network.

        Args:
            symbol: with inputs data and softmax_label, and the softmax as its last output.
            shape: of an image: channels, height, width.
            classes: number of classes.
            changed: values of parameters that are not to be random, by name.
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
        self.parameters = {name: array.asnumpy() for name, array in arguments.items()}
        self.parameters.update(changed)
        self._names = [
            name for name in symbol.list_arguments() if name not in ("data", "softmax_label")
        ]

    def loss(self, **changed):
        """Return the mean cross entropy of the batch, with some parameters changed."""
        import mxnet as mx

        values = {**self.parameters, **changed}
        arguments = {name: mx.nd.array(value) for name, value in values.items()}
        self._module.set_params(arguments, self._states)
        self._module.forward(self._batch, is_train=True)
        odds = self._module.get_outputs()[-1].asnumpy().astype(np.float64)
        return -np.log(odds[np.arange(BATCH), self._labels]).mean()

    def gradients(self):
        """Return the gradients of all parameters, by name."""
        self.loss()
        self._module.backward()
        arrays = self._module._exec_group.grad_arrays
        return {name: array.asnumpy() for name, (array,) in zip(self._names, arrays)}

    def difference(self, name, direction):
        """Return the derivative of the loss as a parameter moves, by a central difference."""
        before = self.parameters[name]
        above, below = (
            self.loss(**{name: (before + step * direction).astype(np.float32)})
            for step in (STEP, -STEP)
        )
        return (above - below) / (2 * STEP)


def device():
    """Return the device that the script trains on: the first of them."""
    import mxnet as mx

    return mx.gpu(0) if os.environ.get("CUDA_VISIBLE_DEVICES") else mx.cpu()


def slopes(graph):
    """Return the names of PReLU's slopes in a symbol's JSON: the gammas of no batch norm."""
    nodes = graph["nodes"]
    norms = {nodes[node["inputs"][1][0]]["name"] for node in nodes if node["op"] == "BatchNorm"}
    names = [node["name"] for node in nodes if node["op"] == "null"]
    return [name for name in names if name.endswith("_gamma") and name not in norms]


def small():
    """Measure each slope of a convolution's PReLU, all of them different."""
    import mxnet as mx
    import symbol_utils

    # Centred, for slopes count only below zero.
    data = (mx.sym.Variable("data") - 127.5) * 0.0078125
    data = mx.sym.Convolution(data, num_filter=len(SLOPES), kernel=(3, 3), name="conv")
    data = symbol_utils.Act(data=data, act_type="prelu", name="relu")
    data = mx.sym.FullyConnected(data, num_hidden=3, name="fc")
    symbol = mx.sym.SoftmaxOutput(data, name="softmax", normalization="valid")
    net = Net(symbol, (3, 6, 6), 3, {"relu_gamma": np.array(SLOPES, np.float32)})
    found = net.gradients()["relu_gamma"]
    return [
        ["relu_gamma[{}]".format(i), float(found[i]), net.difference("relu_gamma", direction)]
        for i, direction in enumerate(np.eye(len(SLOPES)))
    ]


def real(module, train_data, **arguments):
    """Measure some layers of the network that Module.fit was handed.

    The slopes of a layer are moved along their gradient, where the loss changes most.
    """
    import mxnet as mx

    graph = json.loads(module.symbol.tojson())
    for node in graph["nodes"]:
        if node["op"] == "Dropout":  # It would be another one at each pass.
            node["attrs"]["p"] = "0"
    (shape,) = (tuple(item[1][1:]) for item in train_data.provide_data)
    net = Net(mx.sym.load_json(json.dumps(graph)), shape, 2, {})
    gradients = net.gradients()
    names = slopes(graph)
    found = []
    for name in [*names[:-1:STRIDE], *names[-1:]]:
        gradient = gradients[name].astype(np.float64)
        length = np.linalg.norm(gradient)
        direction = gradient / length if length else np.full_like(gradient, gradient.size**-0.5)
        found.append([name, float(gradient @ direction), net.difference(name, direction)])
    return found


def main():
    """Run all cases and write the report."""
    cases = json.load(sys.stdin)
    sys.path.insert(0, os.getcwd())
    report = {}
    try:
        import train_softmax

        report["device"] = str(device())
        report["cases"] = [run(train_softmax, case, real) for case in cases]
        report["small"] = small()
    except BaseException as error:
        traceback.print_exc()
        report["error"] = "{}: {}".format(type(error).__name__, error)
    with open(sys.argv[1], "w") as file:
        json.dump(report, file)


if __name__ == "__main__":
    main()
