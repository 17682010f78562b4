"""Batches and their iterators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .base import out_of_scope
from .ndarray import NDArray
from .shapes import Shape

__getattr__ = out_of_scope("mxnet.io")


class _Description(NamedTuple):
    name: str
    shape: Shape


class DataDesc(_Description):
    """Name and shape of data or a label.

    Attributes:
        dtype: NumPy type.
    """

    dtype: Any

    def __new__(cls, name: str, shape: Sequence[int], dtype: Any = "float32") -> DataDesc:
        """Create a description."""
        made = super().__new__(cls, name, tuple(shape))
        made.dtype = dtype
        return made


class DataBatch:
    """A batch.

    Attributes:
        data: arrays of the data.
        label: arrays of the labels; None if there are none.
        pad: number of images at the end that are only padding.
    """

    def __init__(
        self,
        data: Sequence[NDArray],
        label: Sequence[NDArray] | None = None,
        pad: int | None = None,
    ) -> None:
        """Create a batch."""
        self.data, self.label, self.pad = data, label, pad


class DataIter:
    """An iterator over batches; subclasses define :meth:`next` and :meth:`reset`."""

    def __init__(self, batch_size: int = 0) -> None:
        """Create an iterator with a number of images per batch."""
        self.batch_size = batch_size

    def __iter__(self) -> DataIter:
        return self

    def __next__(self) -> DataBatch:
        return self.next()

    def next(self) -> DataBatch:
        """Return the next batch; raise StopIteration after the last."""
        raise NotImplementedError

    def reset(self) -> None:
        """Start a new epoch."""
