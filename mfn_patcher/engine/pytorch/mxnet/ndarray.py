"""Arrays on a device, and the array functions that the script calls."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from . import files
from .base import MXNetError, out_of_scope
from .context import Context, cpu
from .kernels import pick as _pick
from .kernels import slice_axis as _slice_axis

__getattr__ = out_of_scope("mxnet.ndarray")

_TORCH_TYPES: dict[np.dtype[Any], Any] = {
    np.dtype("float16"): torch.float16,
    np.dtype("float32"): torch.float32,
    np.dtype("float64"): torch.float64,
    np.dtype("uint8"): torch.uint8,
    np.dtype("int8"): torch.int8,
    np.dtype("int32"): torch.int32,
    np.dtype("int64"): torch.int64,
    np.dtype("bool"): torch.bool,
}
_NUMPY_TYPES: dict[Any, Any] = {kind: numpy.type for numpy, kind in _TORCH_TYPES.items()}


def torch_device(context: Context) -> torch.device:
    """Return the PyTorch device of a context.

    Raises:
        MXNetError: PyTorch sees no such GPU.
    """
    if context.device_type == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if context.device_id >= count:
        raise MXNetError(f"PyTorch {torch.__version__} sees {count} GPUs; {context} does not exist")
    return torch.device("cuda", context.device_id)


def torch_type(dtype: Any) -> torch.dtype:
    """Return the PyTorch type of a NumPy type or its name.

    Raises:
        MXNetError: MXNet has no arrays of this type.
    """
    found = _TORCH_TYPES.get(np.dtype(dtype))
    if found is None:
        raise MXNetError(f"there are no arrays of {dtype}")
    return found


class NDArray:
    """An array on a device.

    Indexing with integers or slices returns a view: writing to it changes the array.
    """

    _computed: torch.cuda.Event | None = None
    """Happens when the array is computed; None if only the whole device can be waited for."""

    def __init__(self, tensor: Tensor) -> None:
        """Wrap a tensor without copying it."""
        self._tensor = tensor

    @property
    def tensor(self) -> Tensor:
        """The PyTorch tensor with the same memory."""
        return self._tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return tuple(self._tensor.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return int(self._tensor.dim())

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self._tensor.numel())

    @property
    def dtype(self) -> Any:
        """The type of the elements, as a scalar type of NumPy."""
        return _NUMPY_TYPES[self._tensor.dtype]

    @property
    def context(self) -> Context:
        """The device."""
        device = self._tensor.device
        return cpu() if device.type == "cpu" else Context("gpu", device.index or 0)

    ctx = context

    def __repr__(self) -> str:
        return f"\n{self.asnumpy()}\n<NDArray {'x'.join(map(str, self.shape))} @{self.context}>"

    def __len__(self) -> int:
        return self.shape[0]

    def asnumpy(self) -> npt.NDArray[Any]:
        """Wait until the array is computed, and return a NumPy copy."""
        return np.array(self._tensor.detach().cpu().numpy(), order="C", copy=True)

    def as_in_context(self, context: Context) -> NDArray:
        """Return the array on a device; itself if it is already there."""
        device = torch_device(context)
        return self if device == self._tensor.device else NDArray(self._tensor.to(device))

    def copy(self) -> NDArray:
        """Return a copy, which can be waited for without waiting for what is computed later."""
        made = NDArray(self._tensor.clone())
        if made._tensor.is_cuda:
            made._computed = torch.cuda.Event()
            made._computed.record(torch.cuda.current_stream(made._tensor.device))
        return made

    def copyto(self, other: NDArray | Context) -> NDArray:
        """Copy into another array, or to a device; return the copy."""
        if isinstance(other, Context):
            return NDArray(self._tensor.to(torch_device(other), copy=True))
        other._tensor.copy_(self._tensor)
        return other

    def astype(self, dtype: Any) -> NDArray:
        """Return a copy of another type."""
        return NDArray(self._tensor.to(torch_type(dtype), copy=True))

    def reshape(self, *shape: Any) -> NDArray:
        """Return a view with another shape, of which one extent may be -1."""
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (list, tuple)) else shape
        return NDArray(self._tensor.reshape(tuple(wanted)))

    def wait_to_read(self) -> None:
        """Wait until the array is computed."""
        if self._computed is not None:
            self._computed.synchronize()
        elif self._tensor.is_cuda:
            torch.cuda.synchronize(self._tensor.device)

    def __getitem__(self, key: Any) -> NDArray:
        # MXNet has no arrays without axes: an element of a vector is a vector of length 1.
        if self.ndim == 1 and isinstance(key, (int, np.integer)):
            return NDArray(self._tensor[key].reshape(1))
        return NDArray(self._tensor[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        with torch.no_grad():
            self._tensor[key] = _operand(value, self._tensor)

    def _combine(self, other: Any, function: Any) -> NDArray:
        return NDArray(function(self._tensor, _operand(other, self._tensor)))

    def __add__(self, other: Any) -> NDArray:
        return self._combine(other, torch.add)

    def __sub__(self, other: Any) -> NDArray:
        return self._combine(other, torch.sub)

    def __mul__(self, other: Any) -> NDArray:
        return self._combine(other, torch.mul)

    def __truediv__(self, other: Any) -> NDArray:
        return self._combine(other, torch.div)

    def __iadd__(self, other: Any) -> NDArray:
        self._tensor += _operand(other, self._tensor)
        return self

    def __isub__(self, other: Any) -> NDArray:
        self._tensor -= _operand(other, self._tensor)
        return self

    def __imul__(self, other: Any) -> NDArray:
        self._tensor *= _operand(other, self._tensor)
        return self

    def __itruediv__(self, other: Any) -> NDArray:
        self._tensor /= _operand(other, self._tensor)
        return self


def _operand(value: Any, like: Tensor) -> Any:
    """Return a number itself, or an array as a tensor with the device and type of another."""
    if isinstance(value, (NDArray, Tensor)):
        tensor = value._tensor if isinstance(value, NDArray) else value
        return tensor.to(device=like.device, dtype=like.dtype)
    if isinstance(value, (bool, int, float)):
        return value
    return torch.as_tensor(np.asarray(value)).to(device=like.device, dtype=like.dtype)


def from_numpy(ndarray: npt.NDArray[Any], zero_copy: bool = True) -> NDArray:
    """Return an array that shares the memory of a NumPy array.

    Args:
        ndarray: the NumPy array.
        zero_copy: whether to share the memory instead of copying it.
    """
    torch_type(ndarray.dtype)
    if not ndarray.flags["C_CONTIGUOUS"]:
        raise ValueError("only C-contiguous arrays can be shared")
    tensor = torch.from_numpy(ndarray)
    return NDArray(tensor if zero_copy else tensor.clone())


def host_array(shape: Sequence[int], dtype: Any) -> npt.NDArray[Any]:
    """Return an uninitialised NumPy array, in pinned memory if there are GPUs.

    MXNet has no such function.
    """
    pinned = torch.cuda.is_available()
    made = torch.empty(tuple(shape), dtype=torch_type(dtype), pin_memory=pinned)
    return np.asarray(made.numpy())


def array(source: Any, ctx: Context | None = None, dtype: Any = None) -> NDArray:
    """Return a new array, which is single precision unless the source is an NDArray.

    Args:
        source: an NDArray, or anything that NumPy converts to an array.
        ctx: the device; by default the CPU.
        dtype: the type of the elements.
    """
    if isinstance(source, NDArray):
        tensor = source._tensor.to(torch_type(dtype or source.dtype), copy=True)
    else:
        tensor = torch.from_numpy(np.array(source, dtype=dtype or np.float32, order="C"))
    return NDArray(tensor.to(torch_device(ctx or cpu())))


def full(
    shape: int | Sequence[int], val: float, ctx: Context | None = None, dtype: Any = "float32"
) -> NDArray:
    """Return an array filled with one number."""
    made = empty(shape, ctx, dtype)
    made.tensor.fill_(val)
    return made


def zeros(
    shape: int | Sequence[int], ctx: Context | None = None, dtype: Any = "float32"
) -> NDArray:
    """Return zeros."""
    return full(shape, 0, ctx, dtype)


def ones(shape: int | Sequence[int], ctx: Context | None = None, dtype: Any = "float32") -> NDArray:
    """Return ones."""
    return full(shape, 1, ctx, dtype)


def empty(
    shape: int | Sequence[int], ctx: Context | None = None, dtype: Any = "float32"
) -> NDArray:
    """Return an uninitialised array."""
    extents = (shape,) if isinstance(shape, int) else tuple(shape)
    device = torch_device(ctx or cpu())
    return NDArray(torch.empty(extents, dtype=torch_type(dtype), device=device))


def zeros_like(data: NDArray) -> NDArray:
    """Return zeros with the shape, type and device of an array."""
    return NDArray(torch.zeros_like(data.tensor))


def ones_like(data: NDArray) -> NDArray:
    """Return ones with the shape, type and device of an array."""
    return NDArray(torch.ones_like(data.tensor))


def argmax(data: NDArray, axis: int) -> NDArray:
    """Return the index of the first maximum along an axis, in single precision as MXNet does."""
    return NDArray(data.tensor.argmax(axis).to(torch.float32))


def flip(data: NDArray, axis: int) -> NDArray:
    """Return an array with one axis reversed."""
    return NDArray(data.tensor.flip(axis))


def transpose(data: NDArray, axes: Sequence[int]) -> NDArray:
    """Return an array with its axes in another order."""
    return NDArray(data.tensor.permute(tuple(axes)).contiguous())


def slice_axis(data: NDArray, axis: int, begin: int, end: int | None) -> NDArray:
    """Return a copy of a range of an axis."""
    return NDArray(_slice_axis(data.tensor, axis, begin, end).clone())


def pick(data: NDArray, index: NDArray, axis: int = -1) -> NDArray:
    """Return one number of each row along an axis."""
    return NDArray(_pick(data.tensor, index.tensor, axis))


def waitall() -> None:
    """Wait until all devices have finished."""
    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            torch.cuda.synchronize(device)


def save(fname: str, data: NDArray | Sequence[NDArray] | Mapping[str, NDArray]) -> None:
    """Write arrays to a file in MXNet's format.

    Args:
        fname: path of the file, which is replaced if it exists.
        data: an array, a list of arrays, or arrays by name.

    Raises:
        OSError: The file cannot be written.
    """
    if isinstance(data, NDArray):
        data = [data]
    names = list(data) if isinstance(data, Mapping) else []
    arrays: Iterable[NDArray] = data.values() if isinstance(data, Mapping) else data
    with Path(fname).open("wb") as file:
        files.write(file, [item.asnumpy() for item in arrays], names)
        file.flush()
        os.fsync(file.fileno())


def load(fname: str) -> dict[str, NDArray] | list[NDArray]:
    """Read a file in MXNet's format; return arrays by name if it has names, otherwise a list.

    Raises:
        MXNetError: The file cannot be read, is truncated, or has another format.
    """
    try:
        content = Path(fname).read_bytes()
    except OSError as error:
        raise MXNetError(f"cannot read {fname}: {error}") from None
    try:
        arrays, names = files.read(io.BytesIO(content))
    except MXNetError as error:
        raise MXNetError(f"{fname}: {error}") from None
    wrapped = [NDArray(torch.from_numpy(item)) for item in arrays]
    return dict(zip(names, wrapped)) if names else wrapped
