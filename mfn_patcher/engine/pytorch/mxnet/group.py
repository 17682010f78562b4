"""The executors of a module, one per device, and the arrays that they compute with.

As in MXNet, one process drives all devices: each executor computes its share of a batch with its
own copy of the parameters and its own moving averages, and the gradients are added up on the first
device, which also updates the parameters. Launching work on a GPU does not wait for it, so the GPUs
compute at the same time although the executors are called one after another.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.cuda import comm

from .base import MXNetError
from .context import cpu
from .executor import Executor
from .memory import estimate
from .ndarray import NDArray
from .shapes import Shape
from .staging import Staging
from .symbol import Symbol

Parameters = dict[str, NDArray]


class ModuleExecutor(Executor):
    """The executor of a module, which also estimates the memory of its activations.

    Attributes:
        device: where it computes.
        megabytes: the estimate.
    """

    device = torch.device("cpu")
    megabytes = 0

    _staging: Staging | None = None

    @functools.cached_property
    def _inputs(self) -> dict[tuple[str, Shape], NDArray]:
        """Data and labels of other batch sizes, by name and shape."""
        return {}

    def stage(self, name: str, source: Tensor) -> None:
        """Begin to copy data or labels of the next batch to a GPU."""
        device = self.arg_dict[name].tensor.device
        if device.type == "cuda":
            self._staging = self._staging or Staging(device)
            self._staging.begin(name, source)

    def load(self, name: str, source: Tensor) -> None:
        """Copy the data or the labels of a batch, of any size, to the device."""
        held = self.arg_dict[name]
        if held.tensor.shape != source.shape:
            # A CUDA graph only reads the memory that it was recorded with, so the arrays are kept
            # while a verification uses batches of another size.
            self._inputs[name, held.shape] = held
            held = self._inputs.get((name, tuple(source.shape))) or allocate(
                source.shape, held.tensor.dtype, held.tensor.device
            )
            self.arg_dict[name] = held
        if self._staging is None or not self._staging.load(name, source, held.tensor):
            held.tensor.copy_(source)

    def debug_str(self) -> str:
        """Return a text that states the memory of the activations and their gradients."""
        return f"Total {self.megabytes} MB allocated\n"


class ExecutorGroup:
    """The executors of a module.

    Attributes:
        execs: the executors, one per device.
        param_names: names of the parameters, in the order of their indices.
        batch_size: images per batch, over all devices.
    """

    def __init__(
        self, executors: Sequence[ModuleExecutor], param_names: list[str], batch_size: int
    ) -> None:
        self.execs = list(executors)
        self.param_names = param_names
        self.batch_size = batch_size

    @property
    def param_arrays(self) -> list[list[NDArray]]:
        """The arrays of each parameter, one per device."""
        return [[each.arg_dict[name] for each in self.execs] for name in self.param_names]

    @property
    def grad_arrays(self) -> list[list[NDArray | None]]:
        """The arrays of each gradient, one per device."""
        return [[each.grad_dict[name] for each in self.execs] for name in self.param_names]

    # A step.

    def split(self, array: NDArray) -> list[NDArray]:
        """Return the part of an array that each device computes, as views."""
        shares = split_evenly(array.shape[0], len(self.execs))
        parts = array.tensor.split(shares)
        return [NDArray(part) for part in parts]

    def load(self, name: str, array: NDArray) -> None:
        """Copy the data or the labels of a batch, of any size, to the devices."""
        for executor, part in zip(self.execs, self.split(array)):
            executor.load(name, part.tensor)

    def stage(self, name: str, array: NDArray) -> None:
        """Begin to copy the data or the labels of the next batch to the devices."""
        for executor, part in zip(self.execs, self.split(array)):
            executor.stage(name, part.tensor)

    def forward(self, is_train: bool) -> None:
        """Compute the outputs of the loaded batch."""
        for executor in self._one_by_one():
            executor.forward(is_train)

    def backward(self, out_grads: Sequence[NDArray | None] | None = None) -> None:
        """Compute the gradients of the last training step."""
        above = [None if one is None else self.split(one) for one in out_grads or ()]
        for i, executor in enumerate(self._one_by_one()):
            own = [None if parts is None else parts[i] for parts in above]
            executor.backward(None if out_grads is None else own)

    def forward_backward(self) -> None:
        """Compute the outputs and gradients of the loaded batch."""
        for executor in self._one_by_one():
            executor.forward_backward()

    def _one_by_one(self) -> Iterator[ModuleExecutor]:
        """Yield the executors, each while its GPU is the current one."""
        for executor in self.execs:
            gpu = executor.device.type == "cuda"
            with torch.cuda.device(executor.device) if gpu else contextlib.nullcontext():
                yield executor

    def outputs(self) -> list[NDArray]:
        """Return the outputs of the last batch, on the first device."""
        return [_join(parts) for parts in zip(*(each.outputs for each in self.execs))]

    def add_gradients(self) -> None:
        """Add the gradients of the parameters of all devices to those of the first."""
        found = zip(*self.grad_arrays)
        _add([[array.tensor for array in arrays if array is not None] for arrays in found])

    def spread_parameters(self) -> None:
        """Copy the parameters of the first device to all others."""
        _spread([[array.tensor for array in arrays] for arrays in zip(*self.param_arrays)])

    # Parameters and moving averages.

    def read(self) -> tuple[Parameters, Parameters]:
        """Return copies on the CPU: the parameters, and the mean of the moving averages."""
        first = self.execs[0]
        arguments = {name: first.arg_dict[name].copyto(cpu()) for name in self.param_names}
        averages = {name: array.copyto(cpu()) for name, array in first.aux_dict.items()}
        for other in self.execs[1:]:
            for name, array in other.aux_dict.items():
                averages[name] += array
        for name in averages:
            averages[name] /= len(self.execs)
        return arguments, averages

    def spread(self) -> None:
        """Copy parameters and moving averages of the first device to all others."""
        self.spread_parameters()
        _spread([[array.tensor for array in each.aux_dict.values()] for each in self.execs])


def bind(
    symbol: Symbol,
    device: torch.device,
    known: Mapping[str, Shape],
    kind: torch.dtype,
    gradients: Sequence[str] | None,
) -> ModuleExecutor:
    """Allocate memory for a network on a device.

    Args:
        symbol: the network.
        device: the device.
        known: shapes of data and labels.
        kind: type of all numbers.
        gradients: names of the arguments with gradients; None for inference only.

    Raises:
        MXNetError: Shapes do not match.
    """
    arguments, _, states = symbol.infer_shape(**known)
    if arguments is None or states is None:
        raise MXNetError("the shapes of the parameters do not follow from those of the data")
    arrays, moving = (
        {name: allocate(shape, kind, device) for name, shape in zip(names, shapes)}
        for names, shapes in (
            (symbol.list_arguments(), arguments),
            (symbol.list_auxiliary_states(), states),
        )
    )
    executor = ModuleExecutor(symbol.tojson(), arrays, moving, gradients or ())
    training = gradients is not None
    executor.device = device
    executor.megabytes = estimate(symbol, known, kind.itemsize, training) >> 20
    return executor


def split_evenly(images: int, devices: int) -> list[int]:
    """Return how many images of a batch each device computes.

    Raises:
        MXNetError: There are fewer images than devices.
    """
    if images < devices:
        raise MXNetError(f"a batch of {images} cannot be split over {devices} devices")
    bounds = [images * i // devices for i in range(devices + 1)]
    return [end - begin for begin, end in itertools.pairwise(bounds)]


def _join(parts: Sequence[NDArray]) -> NDArray:
    if len(parts) == 1:
        return parts[0]
    device = parts[0].tensor.device
    return NDArray(torch.cat([part.tensor.to(device) for part in parts]))


def _add(devices: Sequence[Sequence[Tensor]]) -> None:
    """Add the tensors of all devices to those of the first."""
    if len(devices) <= 1 or not devices[0]:
        return
    first, *others = _align(devices)
    if first[0].is_cuda:
        summed = comm.reduce_add_coalesced([first, *others], first[0].get_device())
        torch._foreach_copy_(first, summed)
        return
    for other in others:
        torch._foreach_add_(first, other)


def _spread(devices: Sequence[Sequence[Tensor]]) -> None:
    """Copy the tensors of the first device to those of the others."""
    # There are none at all in a network without parameters.
    if len(devices) <= 1 or not devices[0]:
        return
    first, *others = _align(devices)
    copies = [first] * len(others)
    if first[0].is_cuda:
        numbers = [tensors[0].get_device() for tensors in (first, *others)]
        copies = comm.broadcast_coalesced(first, numbers)[1:]
    for tensors, values in zip(others, copies):
        torch._foreach_copy_(tensors, values)


def _align(devices: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """Return views of all tensors, with their axes in the order of the first device's memory.

    PyTorch flattens several tensors to send them at once, and returns them contiguous.
    """
    orders = [
        (0, 2, 3, 1)
        if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        else tuple(range(tensor.dim()))
        for tensor in devices[0]
    ]
    return [[one.permute(order) for one, order in zip(tensors, orders)] for tensors in devices]


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
