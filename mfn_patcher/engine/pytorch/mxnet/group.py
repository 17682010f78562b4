"""The executor of a module and the arrays that it computes with, in MXNet's structure."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .base import MXNetError
from .executor import Executor
from .ndarray import NDArray


class ModuleExecutor(Executor):
    """The executor of a module, which also estimates the memory of its activations."""

    megabytes = 0

    def debug_str(self) -> str:
        """Return a text that states the memory of the activations and their gradients."""
        return f"Total {self.megabytes} MB allocated\n"


class ExecutorGroup:
    """The executors of a module, one per device, of which this engine has one.

    Attributes:
        execs: the executors.
        param_names: names of the parameters, in the order of their indices.
        batch_size: images per batch.
    """

    def __init__(self, executor: ModuleExecutor, param_names: list[str], batch_size: int) -> None:
        self.execs = [executor]
        self.param_names = param_names
        self.batch_size = batch_size

    @property
    def param_arrays(self) -> list[list[NDArray]]:
        """The arrays of each parameter, one per device."""
        return [[self.execs[0].arg_dict[name]] for name in self.param_names]

    @property
    def grad_arrays(self) -> list[list[NDArray | None]]:
        """The arrays of each gradient, one per device."""
        return [[self.execs[0].grad_dict[name]] for name in self.param_names]


def allocate(shape: Sequence[int], kind: torch.dtype, device: torch.device) -> NDArray:
    """Return zeros; images and kernels are stored channels-last, which convolutions prefer."""
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    made = torch.empty(tuple(shape), dtype=kind, device=device, memory_format=layout)
    return NDArray(made.zero_())


def copy_parameter(name: str, source: NDArray, target: NDArray) -> None:
    """Copy the values of a parameter; raise MXNetError if it has another shape."""
    if source.shape != target.shape:
        raise MXNetError(
            f"{name} has shape {source.shape}, but the network requires {target.shape}"
        )
    target.tensor.copy_(source.tensor)
