"""Batches, and the iterators that give them."""

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
        dtype: the type of its numbers.
    """

    dtype: Any

    def __new__(cls, name: str, shape: Sequence[int], dtype: Any = "float32") -> DataDesc:
        """Describe it."""
        made = super().__new__(cls, name, tuple(shape))
        made.dtype = dtype
        return made


class DataBatch:
    """A batch.

    Attributes:
        data: the arrays of data.
        label: the labels; None for none.
        pad: how many of the last images only fill the batch up.
    """

    def __init__(
        self,
        data: Sequence[NDArray],
        label: Sequence[NDArray] | None = None,
        pad: int | None = None,
        index: Any = None,
    ) -> None:
        """Take the arrays."""
        self.data, self.label, self.pad, self.index = data, label, pad, index


class DataIter:
    """An iterator over batches; subclasses define :meth:`next` and :meth:`reset`."""

    def __init__(self, batch_size: int = 0) -> None:
        """Set the number of images of a batch."""
        self.batch_size = batch_size

    def __iter__(self) -> DataIter:
        return self

    def __next__(self) -> DataBatch:
        return self.next()

    def next(self) -> DataBatch:
        """Return the next batch; raise StopIteration after the last."""
        raise NotImplementedError

    def reset(self) -> None:
        """Begin an epoch."""
