"""What Module.fit computes on two devices; runs on whichever package is called mxnet.

    devices.py [GPU GPU]

Without the numbers of two GPUs, which may be the same, the devices are two CPU contexts. Prints a
JSON object with the numbers of images that each call of the metric had, the parameters, the moving
averages and the momenta after each epoch, and the outputs for another batch.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import mxnet as mx
import numpy as np

EPOCHS, BATCHES, BATCH, CLASSES = 2, 3, 6, 3
SHAPE = (2, 5, 5)
RANDOM = np.random.RandomState(5)


def double(array: Any) -> Any:
    """Return an array in double precision, in which the engines round alike."""
    return mx.nd.array(array, dtype="float64")


class Images(mx.io.DataIter):
    """Batches whose second half differs from the first, so that the devices' statistics do."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_size = BATCH
        self.provide_data = [mx.io.DataDesc("data", (BATCH, *SHAPE), "float64")]
        self.provide_label = [mx.io.DataDesc("softmax_label", (BATCH,), "float64")]
        self.reset()

    def reset(self) -> None:
        """Start again."""
        self.place = 0

    def next(self) -> Any:
        """Return the next batch."""
        if self.place == BATCHES:
            raise StopIteration
        self.place += 1
        data = RANDOM.normal(0, 1, (BATCH, *SHAPE))
        data[BATCH // 2 :] = 3 * data[BATCH // 2 :] + 1
        label = RANDOM.randint(0, CLASSES, BATCH)
        return mx.io.DataBatch(data=(double(data),), label=(double(label),), pad=0)


class Count(mx.metric.EvalMetric):
    """Keeps how many images each call has."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        super().__init__("count")

    def update(self, labels: Any, preds: Any) -> None:
        """Add a batch."""
        self.calls.append([len(labels[0].asnumpy()), *(len(pred.asnumpy()) for pred in preds)])
        self.sum_metric += float(preds[1].asnumpy().max())
        self.num_inst += 1


class SGD(mx.optimizer.SGD):
    """An optimizer that keeps the momenta by name."""

    momenta: dict[str, Any]

    def create_state(self, index: Any, weight: Any) -> Any:
        """Keep the state; the store of MXNet passes names instead of indices."""
        state = super().create_state(index, weight)
        self.__dict__.setdefault("momenta", {})[self.idx2name.get(index, index)] = state
        return state


def network() -> Any:
    """Return convolution, batch norm and two layers."""
    data = mx.sym.Variable("data")
    data = mx.sym.Convolution(data, num_filter=4, kernel=(3, 3), name="c")
    data = mx.sym.BatchNorm(data, fix_gamma=False, eps=2e-5, name="b")
    data = mx.sym.Activation(data, act_type="relu", name="a")
    data = mx.sym.FullyConnected(data, num_hidden=5, name="e")
    data = mx.sym.BatchNorm(data, fix_gamma=True, name="n")
    logits = mx.sym.FullyConnected(data, num_hidden=CLASSES, no_bias=True, name="f")
    softmax = mx.sym.SoftmaxOutput(logits, name="softmax", normalization="valid")
    return mx.sym.Group([mx.sym.BlockGrad(data), softmax])


def start(symbol: Any) -> dict[str, Any]:
    """Return parameters that do not depend on the package's random numbers."""
    shapes, _, _ = symbol.infer_shape(data=(BATCH, *SHAPE))
    drawn = np.random.RandomState(6)
    return {
        name: double(drawn.normal(0.1, 0.5, shape))
        for name, shape in zip(symbol.list_arguments(), shapes)
        if name not in ("data", "softmax_label")
    }


def numbers(arrays: dict[str, Any]) -> dict[str, list[float]]:
    """Return arrays as lists."""
    return {name: array.asnumpy().ravel().tolist() for name, array in sorted(arrays.items())}


def main() -> None:
    """Train on two devices."""
    symbol = network()
    gpus = [mx.gpu(int(number)) for number in sys.argv[1:]]
    module = mx.mod.Module(symbol=symbol, context=gpus or [mx.cpu(0), mx.cpu(1)])
    optimizer = SGD(learning_rate=0.1, momentum=0.9, wd=1e-2, rescale_grad=0.5, sym=symbol)
    count = Count()
    epochs: list[Any] = []

    def keep(_epoch: int, _symbol: Any, arguments: Any, averages: Any) -> None:
        # MXNet's store decays a copy of the gamma that every step sets to 1; nothing uses it.
        arguments = {name: array for name, array in arguments.items() if name != "n_gamma"}
        momenta = {name: state for name, state in optimizer.momenta.items() if name != "n_gamma"}
        epochs.append([numbers(arguments), numbers(averages), numbers(momenta)])

    module.fit(
        Images(),
        num_epoch=EPOCHS,
        eval_data=None,
        eval_metric=[count],
        kvstore="device",
        optimizer=optimizer,
        initializer=mx.init.Xavier(),
        arg_params=start(symbol),
        aux_params=None,
        allow_missing=True,
        epoch_end_callback=keep,
    )
    other = np.random.RandomState(7).normal(0, 1, (4, *SHAPE))
    batch = mx.io.DataBatch(data=(double(other),), label=(double(np.zeros(4)),))
    module.forward(batch, is_train=False)
    outputs = {str(i): output for i, output in enumerate(module.get_outputs())}
    answer = {"calls": count.calls, "epochs": epochs, "outputs": numbers(outputs)}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
