"""Training metrics printed in addition to upstream's accuracy."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

# Keeps the logarithm finite for a probability that underflows; NaN stays NaN.
_TINY = 1e-38


class CrossEntropy(mx.metric.EvalMetric):
    """Mean cross-entropy of the softmax output.

    MXNet's own metric of this would copy all probabilities from the GPU: 174 MB a step for 85,164
    identities and a batch of 512.
    """

    def __init__(self) -> None:
        super().__init__("lossvalue")

    def update(self, labels: list[Any], preds: list[Any]) -> None:
        """Take a batch into account, whose second output is the softmax."""
        label, probability = labels[0], preds[1]
        # Picked where the probabilities are: only one number per image leaves the GPU.
        picked = mx.nd.pick(probability, label.as_in_context(probability.context), axis=1)
        losses = -np.log(picked.asnumpy().astype("float64") + _TINY)
        self.sum_metric += losses.sum()
        self.num_inst += len(losses)


class Speedometer:
    """MXNet's Speedometer, for training that may resume between two of its lines."""

    def __init__(self, batch_size: int, frequent: int) -> None:
        """Set it up.

        Args:
            batch_size: number of images per step, over all workers.
            frequent: number of steps from one line to the next.
        """
        self._frequent = frequent
        self._inner = mx.callback.Speedometer(batch_size, frequent)

    def __call__(self, param: Any) -> None:
        """Take a step into account, MXNet's ``BatchEndParam``."""
        # It measures from one multiple of `frequent` to the next, so it must begin at one.
        if self._inner.init or param.nbatch % self._frequent == 0:
            self._inner(param)
