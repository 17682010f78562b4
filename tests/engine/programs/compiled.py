"""Fifty training steps of a small network, compiled or not.

    python compiled.py on|off [PRECISION [DEVICE]]

In between, the learning rate changes, a batch of another size is verified, and the parameters are
set to what was saved, as in the script. Prints a JSON object: the loss of each step, the types of
the gradients and of the embedding, an embedding, how many functions PyTorch had compiled after the
first step and after the last, whether the step reads the same memory after the verification, how
many CUDA graphs were recorded, and what was logged.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from typing import Any

import mxnet as mx
import numpy as np
import torch._dynamo

STEPS, BATCH, CLASSES, NUMBERS, SIDE = 50, 8, 10, 16, 16
LOWER_RATE, VERIFY, SAVE = 20, 25, 30


def layer(data: Any, name: str, side: int, groups: int = 1, stride: int = 1) -> Any:
    """Return a convolution, batch norm and PReLU, as the networks have them."""
    data = mx.sym.Convolution(
        data,
        num_filter=NUMBERS,
        kernel=(side, side),
        pad=(side // 2, side // 2),
        stride=(stride, stride),
        num_group=groups,
        no_bias=True,
        name=f"{name}_conv",
    )
    data = mx.sym.BatchNorm(data, fix_gamma=False, momentum=0.9, name=f"{name}_bn")
    return mx.sym.LeakyReLU(data, act_type="prelu", name=f"{name}_relu")


def network() -> Any:
    """Return an embedding and a softmax with a margin, as the script has them."""
    data, label = mx.sym.Variable("data"), mx.sym.Variable("softmax_label")
    data = (data - 127.5) * 0.0078125
    data = layer(data, "first", 3, stride=2)
    data = data + layer(layer(data, "depthwise", 3, groups=NUMBERS), "narrow", 1)
    embedding = mx.sym.FullyConnected(data, num_hidden=NUMBERS, name="pre_fc1")
    embedding = mx.sym.BatchNorm(embedding, fix_gamma=True, eps=2e-5, name="fc1")
    weight = mx.sym.L2Normalization(mx.sym.Variable("fc7_weight", shape=(CLASSES, NUMBERS)))
    direction = mx.sym.L2Normalization(embedding) * 16
    logits = mx.sym.FullyConnected(direction, weight, num_hidden=CLASSES, no_bias=True, name="fc7")
    margin = mx.sym.one_hot(label, depth=CLASSES, on_value=-2.0, off_value=0.0)
    softmax = mx.sym.SoftmaxOutput(logits + margin, label, name="softmax", normalization="valid")
    return mx.sym.Group([mx.sym.BlockGrad(embedding), softmax])


def parameters(symbol: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters and moving averages to start from, by name."""
    random = np.random.RandomState(0)
    shapes, _, states = symbol.infer_shape(data=(BATCH, 3, SIDE, SIDE), softmax_label=(BATCH,))

    def draw(name: str, shape: tuple[int, ...]) -> Any:
        if len(shape) > 1:
            return mx.nd.array(random.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:])))
        return mx.nd.ones(shape) * (0 if "beta" in name or "bias" in name else 1)

    arguments = zip(symbol.list_arguments(), shapes)
    inputs = ("data", "softmax_label")
    return (
        {name: draw(name, shape) for name, shape in arguments if name not in inputs},
        {name: mx.nd.ones(shape) for name, shape in zip(symbol.list_auxiliary_states(), states)},
    )


def make(symbol: Any, start: tuple[Any, Any], optimizer: Any, device: Any) -> Any:
    """Return a module that is ready to train."""
    module = mx.mod.Module(symbol, context=device)
    module.bind([("data", (BATCH, 3, SIDE, SIDE))], [("softmax_label", (BATCH,))])
    module.init_params(arg_params=start[0], aux_params=start[1])
    module.init_optimizer(optimizer=optimizer)
    return module


def batches(size: int) -> Any:
    """Yield batches of noisy copies of one image for each class."""
    random = np.random.RandomState(1)
    prototypes = random.randint(0, 256, (CLASSES, 3, SIDE, SIDE))
    while True:
        labels = random.randint(0, CLASSES, size)
        noisy = prototypes[labels] + random.standard_normal((size, 3, SIDE, SIDE)) * 40
        images = mx.nd.array(np.clip(noisy, 0, 255).astype("uint8"), dtype="uint8")
        yield mx.io.DataBatch([images], [mx.nd.array(labels)])


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._lines.append(record.getMessage())


def compilations() -> int:
    """Return how many functions PyTorch has compiled."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def main() -> None:
    """Train, and print what was found."""
    compiled, precision, name = [*sys.argv[1:], *("on", "fp32", "cpu")[len(sys.argv) - 1 :]]
    lines: list[str] = []
    logging.getLogger().addHandler(Lines(lines))
    mx.settings.use(precision, compiled == "on")
    device = mx.gpu(0) if name == "gpu" else mx.cpu()
    symbol = network()
    optimizer = mx.optimizer.SGD(learning_rate=0.1, momentum=0.9, wd=4e-4, rescale_grad=1 / BATCH)
    module = make(symbol, parameters(symbol), optimizer, device)
    executor = module._exec_group.execs[0]
    losses, first = [], 0
    for step, batch in zip(range(STEPS), batches(BATCH)):
        if step == LOWER_RATE:
            optimizer.lr *= 0.1
        if step == VERIFY:
            before = dict(executor.arg_dict)
            module.forward(next(batches(BATCH + 3)), is_train=False)
            verified = module.get_outputs()[0].asnumpy()
        if step == SAVE:
            module.set_params(*module.get_params())
        module.forward_backward(batch)
        module.update()
        probabilities = module.get_outputs()[1].asnumpy()
        labels = batch.label[0].asnumpy().astype(int)
        losses.append(float(-np.log(probabilities[np.arange(BATCH), labels]).mean()))
        if step == 0:
            first = compilations()
    gradients = [array for array in executor.grad_dict.values() if array is not None]
    found = {
        "losses": losses,
        "compiled": [first, compilations()],
        "embedding": str(np.dtype(module.get_outputs()[0].dtype)),
        "gradients": sorted({str(np.dtype(array.dtype)) for array in gradients}),
        "same_memory": executor.arg_dict == before,
        "recordings": executor._step.recordings,
        "logged": lines,
        "verified": [float(number) for number in verified[0]],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
