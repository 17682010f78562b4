"""What Module.fit logs and calls, step by step; runs on whichever package is called mxnet.

Prints a JSON object with the logged lines without speeds and times, the warnings, and the calls in
order.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from typing import Any

import mxnet as mx
import numpy as np

LOG: list[list[str]] = []
EVENTS: list[Any] = []
BATCHES, BATCH, CLASSES = 43, 4, 3


class Lines(logging.Handler):
    """Keeps the logged lines, with every speed and time replaced by a mark."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        text = re.sub(r"(Speed: |Time cost=)[\d.]+", r"\1#", record.getMessage())
        LOG.append([record.levelname, text])


class Images(mx.io.DataIter):
    """Batches whose class is visible in the data."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_size = BATCH
        self.provide_data = [("data", (BATCH, CLASSES))]
        self.provide_label = [("softmax_label", (BATCH,))]
        self.reset()

    def reset(self) -> None:
        """Start again."""
        EVENTS.append("reset")
        self.place = 0

    def next(self) -> Any:
        """Return the next batch; in every fifth batch, all labels are wrong."""
        if self.place == BATCHES:
            EVENTS.append("end of data")
            raise StopIteration
        self.place += 1
        label = np.arange(BATCH) % CLASSES
        told = (label + (self.place % 5 == 0)) % CLASSES
        return mx.io.DataBatch(
            data=(mx.nd.array(np.eye(CLASSES)[label]),), label=(mx.nd.array(told),), pad=0
        )


class Accuracy(mx.metric.EvalMetric):
    """The share of samples whose largest output is their label."""

    def __init__(self) -> None:
        super().__init__("acc", axis=1, output_names=None, label_names=None)

    def update(self, labels: Any, preds: Any) -> None:
        """Add a batch."""
        found = mx.nd.argmax(preds[1], axis=1)
        EVENTS.append(
            ["metric", len(labels), len(preds), str(np.dtype(found.dtype)), preds[0].shape]
        )
        self.sum_metric += (found.asnumpy() == labels[0].asnumpy()).sum()
        self.num_inst += labels[0].shape[0]


class Mean(mx.metric.EvalMetric):
    """The mean of the labels."""

    def __init__(self) -> None:
        super().__init__("mean")

    def update(self, labels: Any, preds: Any) -> None:
        """Add a batch."""
        self.sum_metric += labels[0].asnumpy().sum()
        self.num_inst += len(labels[0].asnumpy())


class Module(mx.mod.Module):
    """A module that records its updates."""

    def update(self) -> None:
        """Keep the call, and update."""
        EVENTS.append("update")
        super().update()


def network() -> Any:
    """Return one layer with a softmax."""
    data = mx.sym.Variable("data")
    logits = mx.sym.FullyConnected(data, num_hidden=CLASSES, no_bias=True, name="f")
    softmax = mx.sym.SoftmaxOutput(logits, name="softmax", normalization="valid")
    return mx.sym.Group([mx.sym.BlockGrad(logits), softmax])


def main() -> None:
    """Train one layer."""
    logger = logging.getLogger()
    logger.setLevel(logging.INFO)
    logger.handlers[:] = [Lines()]
    symbol = network()
    module = Module(symbol=symbol, context=[mx.cpu()])
    show = mx.callback.Speedometer(BATCH, 20)
    seen: list[list[str]] = []

    def callback(param: Any) -> None:
        kept = param._replace(nbatch=param.nbatch + 100)
        if not seen:
            seen.append(list(param._fields))
        EVENTS.append(
            [
                "callback",
                param.epoch,
                kept.nbatch,
                bool(param.locals["end_of_batch"]),
                show.init,
                [name for name, _ in param.eval_metric.get_name_value()],
            ]
        )
        show(param)
        assert module.symbol is symbol

    optimizer = mx.optimizer.SGD(
        learning_rate=0.1, momentum=0.9, wd=1e-4, rescale_grad=1.0, sym=symbol
    )
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        module.fit(
            Images(),
            begin_epoch=2,
            num_epoch=4,
            eval_data=None,
            eval_metric=[mx.metric.create(Accuracy()), Mean()],
            kvstore="device",
            optimizer=optimizer,
            initializer=mx.init.Xavier(rnd_type="uniform", factor_type="in", magnitude=2),
            arg_params={"f_weight": mx.nd.array(np.eye(CLASSES) * 4)},
            aux_params=None,
            allow_missing=True,
            batch_end_callback=callback,
            epoch_end_callback=None,
        )
    batch = mx.io.DataBatch(data=(mx.nd.ones((2, CLASSES)),), label=(mx.nd.ones((2,)),))
    module.forward(batch, is_train=False)
    sys.stdout.write(
        "\n"
        + json.dumps(
            {
                "log": LOG,
                "events": EVENTS,
                "fields": seen,
                "warnings": [str(w.message) for w in warned if w.category is UserWarning],
                "outputs of another batch size": [output.shape for output in module.get_outputs()],
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
