"""The executors of a module, one a device, and the arrays that they compute with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .base import MXNetError
from .executor import Executor
from .ndarray import NDArray


class ModuleExecutor(Executor):
    """The executor of a module, which tells how much memory its activations take."""

    megabytes = 0

    def debug_str(self) -> str:
        """Return a text with the memory of the activations and their gradients."""
        return f"Total {self.megabytes} MB allocated\n"


class ExecutorGroup:
    """The executors of a module, one a device; here one.

    Attributes:
        execs: the executors.
        param_names: the names of the parameters, in the order of their indices.
        batch_size: images a batch.
    """

    def __init__(self, executor: ModuleExecutor, param_names: list[str], batch_size: int) -> None:
        self.execs = [executor]
        self.param_names = param_names
        self.batch_size = batch_size

    @property
    def param_arrays(self) -> list[list[NDArray]]:
        """The parameters, each with its array on each device."""
        return [[self.execs[0].arg_dict[name]] for name in self.param_names]

    @property
    def grad_arrays(self) -> list[list[NDArray | None]]:
        """The gradients, each with its array on each device."""
        return [[self.execs[0].grad_dict[name]] for name in self.param_names]


def allocate(shape: Sequence[int], kind: torch.dtype, device: torch.device) -> NDArray:
    """Return zeros; images and kernels with their channels last, as convolutions want them."""
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    made = torch.empty(tuple(shape), dtype=kind, device=device, memory_format=layout)
    return NDArray(made.zero_())


def copy_parameter(name: str, source: NDArray, target: NDArray) -> None:
    """Copy the values of a parameter; raise MXNetError if it has another shape."""
    if source.shape != target.shape:
        raise MXNetError(f"{name} is of shape {source.shape}, and the network needs {target.shape}")
    target.tensor.copy_(source.tensor)
