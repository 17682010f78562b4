"""The line of the log that tells a training's speed."""

from __future__ import annotations

import logging
import time
from typing import Any

from .base import out_of_scope

__getattr__ = out_of_scope("mxnet.callback")


class Speedometer:
    """Logs images a second and metrics, every so many batches.

    Attributes:
        init: whether it has begun to measure.
    """

    def __init__(self, batch_size: int, frequent: int = 50) -> None:
        """Set it up.

        Args:
            batch_size: images a batch.
            frequent: batches from one line to the next.
        """
        self.batch_size, self.frequent = batch_size, frequent
        self.init = False
        self._begun = 0.0
        self._last = 0

    def __call__(self, param: Any) -> None:
        """Take a batch into account: a ``BatchEndParam``."""
        count = param.nbatch
        if count < self._last:
            self.init = False  # another epoch
        self._last = count
        if not self.init:
            self.init = True
            self._begun = time.time()
            return
        if count % self.frequent:
            return
        seconds = time.time() - self._begun
        speed = self.frequent * self.batch_size / seconds if seconds else float("inf")
        metrics = param.eval_metric.get_name_value()
        param.eval_metric.reset_local()
        shown = "".join(f"\t{name}={value:f}" for name, value in metrics)
        logging.info(
            "Epoch[%d] Batch [%d-%d]\tSpeed: %.2f samples/sec%s",
            param.epoch,
            count - self.frequent,
            count,
            speed,
            shown,
        )
        self._begun = time.time()
