"""MXNet's Module, with what a cluster needs of it."""

from __future__ import annotations

from typing import Any

import mxnet as mx

from .engine import ON_TORCH
from .progress import ProgressFile


class WorkerModule(mx.mod.Module):
    """A Module that starts from the parameters and moving averages of the first worker."""

    def init_optimizer(self, kvstore: Any = "local", **options: Any) -> None:
        """Take what MXNet's method takes."""
        super().init_optimizer(kvstore=kvstore, **options)
        # The parameters came with the store.
        parameters, averages = self.get_params()
        for name in sorted(averages):
            kvstore.init(name, averages[name])
        self.set_params(parameters, averages)


class ReportingModule(WorkerModule):
    """A WorkerModule that reports its steps."""

    def __init__(self, progress: ProgressFile, **options: Any) -> None:
        """Take what MXNet's Module takes."""
        super().__init__(**options)
        self._progress = progress

    def forward_backward(self, data_batch: Any) -> None:
        """Compute outputs and gradients of a batch."""
        self._progress.begin_step()
        super().forward_backward(data_batch)

    def update(self) -> None:
        """Update the parameters by the gradients of the last step."""
        group = self._exec_group
        # The gradient of the first layer is computed last. It is copied, because the sum over all
        # workers overwrites it.
        self._progress.begin_sum(group.grad_arrays[0][0].reshape(-1)[:1].copy())
        super().update()
        parameters = [arrays[0] for arrays in group.param_arrays]
        if ON_TORCH:
            # It computes in order, so whatever comes next is ready once all of them are updated.
            done = parameters[-1].reshape(-1)[:1].copy()
        else:
            done = mx.nd.multi_sum_sq(*parameters, num_arrays=len(parameters))
        self._progress.end_step(done)
