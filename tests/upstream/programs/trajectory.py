"""The first steps of training, from fixed parameters and batches; a program for the src folder.

    python trajectory.py LOSS_TYPE STEPS

Prints JSON: the loss of each step, and the first numbers of the first embedding. Parameters are
drawn from their names and batches from a NumPy seed, so that any two versions of Python, MXNet
and the patches can be compared by these numbers.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import mxnet as mx
import numpy as np

SEED, BATCH, CLASSES, EMBEDDING = 7, 8, 20, 128
IMAGE = (3, 112, 112)
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.0005, 0.9, 4e-5


def initial_value(name: str, shape: tuple[int, ...]) -> Any:
    """Return a parameter's value: constants by its kind, weights uniform and scaled by fan-in."""
    constants = {"_moving_var": 1, "_moving_mean": 0, "_beta": 0, "_bias": 0, "relu_gamma": 0.25}
    for ending, value in [*constants.items(), ("_gamma", 1)]:
        if name.endswith(ending):
            return mx.nd.full(shape, value)
    bound = np.sqrt(2.0 / np.prod(shape[1:]))
    random = np.random.RandomState(zlib.crc32(name.encode()) ^ SEED)
    return mx.nd.array(random.uniform(-bound, bound, shape).astype("float32"))


def batches(steps: int) -> Iterator[tuple[Any, Any]]:
    """Yield batches of noisy copies of one random image for each class."""
    random = np.random.RandomState(SEED)
    prototypes = random.randint(0, 256, (CLASSES, *IMAGE)).astype("float32")
    for _ in range(steps):
        labels = random.randint(0, CLASSES, BATCH)
        noise = random.randn(BATCH, *IMAGE) * 20
        images = np.clip(prototypes[labels] + noise, 0, 255).astype("float32")
        yield images, labels


def build(loss_type: str, context: Any) -> Any:
    """Return the module of network y1, with upstream's own symbol."""
    sys.path.insert(0, ".")
    sys.argv = ["train_softmax.py", "--network", "y1", "--emb-size", str(EMBEDDING)]
    sys.argv += ["--loss-type", loss_type, "--wd", "0.00004", "--fc7-wd-mult", "10"]
    import train_softmax

    arguments = train_softmax.parse_args()
    arguments.image_channel, arguments.image_h, arguments.image_w = IMAGE
    arguments.num_classes, arguments.num_layers = CLASSES, 1
    symbol, _, _ = train_softmax.get_symbol(arguments, None, None)
    module = mx.mod.Module(symbol, context=context)
    module.bind([("data", (BATCH, *IMAGE))], [("softmax_label", (BATCH,))])
    shapes, _, auxiliary = symbol.infer_shape(data=(BATCH, *IMAGE), softmax_label=(BATCH,))
    inputs = ("data", "softmax_label")
    module.init_params(
        arg_params={
            name: initial_value(name, shape)
            for name, shape in zip(symbol.list_arguments(), shapes)
            if name not in inputs
        },
        aux_params={
            name: initial_value(name, shape)
            for name, shape in zip(symbol.list_auxiliary_states(), auxiliary)
        },
    )
    optimizer = mx.optimizer.SGD(
        learning_rate=LEARNING_RATE, momentum=MOMENTUM, wd=WEIGHT_DECAY, rescale_grad=1.0
    )
    module.init_optimizer(kvstore="device", optimizer=optimizer)
    return module


def main() -> None:
    """Train and print."""
    loss_type, steps = sys.argv[1], int(sys.argv[2])
    context = mx.gpu(0) if sys.argv[3:] == ["gpu"] else mx.cpu()
    module = build(loss_type, context)
    losses: list[float] = []
    first: list[float] | None = None
    for images, labels in batches(steps):
        module.forward(mx.io.DataBatch([mx.nd.array(images)], [mx.nd.array(labels)]), is_train=True)
        embedding, probability = (output.asnumpy() for output in module.get_outputs())
        losses.append(float(-np.log(probability[np.arange(BATCH), labels]).mean()))
        first = embedding[0, :8].tolist() if first is None else first
        module.backward()
        module.update()
    print(json.dumps({"loss": losses, "embedding": first}))


if __name__ == "__main__":
    main()
