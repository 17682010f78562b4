"""The log line with the training speed."""

from __future__ import annotations

import logging
import time
from typing import Any

from .base import out_of_scope

__getattr__ = out_of_scope("mxnet.callback")


class Speedometer:
    """Logs images per second and metrics at regular intervals.

    Attributes:
        init: whether the current interval has started.
    """

    def __init__(self, batch_size: int, frequent: int = 50) -> None:
        """Create the callback.

        Args:
            batch_size: images per batch.
            frequent: batches per log line.
        """
        self.batch_size, self.frequent = batch_size, frequent
        self.init = False
        self._begun = 0.0
        self._last = 0

    def __call__(self, param: Any) -> None:
        """Count a batch, given as a ``BatchEndParam``."""
        count = param.nbatch
        if count < self._last:
            self.init = False  # a new epoch
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
        param.eval_metric.reset()
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
