"""MXNet's files of arrays, ``.params`` and ``.states``, to the byte.

The format is little endian: a magic number, a reserved word, the number of arrays, the arrays, the
number of names, the names. An array is a magic number, its storage type, shape, device and type,
and its numbers in C order. Reading and writing only need NumPy.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .base import MXNetError

_FILE_MARK = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES = [np.dtype(name) for name in ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?")]
_LONGEST = 32  # axes; a larger number means that the file is damaged


def write(file: BinaryIO, arrays: Sequence[npt.NDArray[Any]], names: Sequence[str]) -> None:
    """Write arrays.

    Args:
        file: the file to write to.
        arrays: the arrays, of types that MXNet has.
        names: a name for each array; empty to write no names.

    Raises:
        MXNetError: An array has a type that MXNet's files do not have, or no axes: MXNet cannot
            read what it writes for those.
    """
    file.write(struct.pack("<QQQ", _FILE_MARK, 0, len(arrays)))
    for array in arrays:
        kind = array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype
        if kind not in _TYPES:
            raise MXNetError(f"MXNet's files cannot contain arrays of type {array.dtype}")
        if array.ndim == 0:
            raise MXNetError("MXNet's files cannot contain arrays without axes")
        file.write(struct.pack("<Iii", _V2, 0, array.ndim))
        file.write(struct.pack(f"<{array.ndim}q", *array.shape))
        file.write(struct.pack("<iii", 1, 0, _TYPES.index(kind)))
        file.write(np.ascontiguousarray(array, dtype=kind).tobytes())
    file.write(struct.pack("<Q", len(names)))
    for name in names:
        encoded = name.encode()
        file.write(struct.pack("<Q", len(encoded)) + encoded)


def read(file: BinaryIO) -> tuple[list[npt.NDArray[Any]], list[str]]:
    """Read arrays and their names; the names are empty if the file has none.

    Raises:
        MXNetError: The file is truncated, or has another format.
    """
    reader = _Reader(file.read())
    mark, _, count = reader.unpack("<QQQ")
    if mark != _FILE_MARK:
        raise MXNetError("Invalid NDArray file format: the magic number is wrong")
    arrays = [reader.array() for _ in range(reader.count(count, 4))]
    (count,) = reader.unpack("<Q")
    names = [reader.name() for _ in range(reader.count(count, 8))]
    if reader.left():
        raise MXNetError(f"Invalid NDArray file format: {reader.left()} bytes follow its end")
    if names and len(names) != len(arrays):
        raise MXNetError(f"Invalid NDArray file format: {len(names)} names, {len(arrays)} arrays")
    return arrays, names


class _Reader:
    """Reads from bytes, and reports where they end too early."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    def left(self) -> int:
        return len(self._content) - self._place

    def take(self, size: int) -> bytes:
        if not 0 <= size <= self.left():
            raise MXNetError(
                f"Invalid NDArray file format: it ends after {len(self._content)} bytes"
            )
        self._place += size
        return self._content[self._place - size : self._place]

    def unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def count(self, number: int, smallest: int) -> int:
        """Read a number of items; raise MXNetError if the file is too short for them."""
        if number * smallest > self.left():
            raise MXNetError(f"Invalid NDArray file format: it is too short for {number} items")
        return number

    def name(self) -> str:
        (size,) = self.unpack("<Q")
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise MXNetError("Invalid NDArray file format: a name is not UTF-8") from None

    def array(self) -> npt.NDArray[Any]:
        (mark,) = self.unpack("<I")
        if mark in (_V2, _V3):
            (storage,) = self.unpack("<i")
            if storage != 0:
                raise MXNetError("sparse arrays are not part of the PyTorch engine")
        shape = self._shape(mark)
        # In the version with NumPy arrays, an array without axes has one number.
        if not shape and mark != _V3:
            raise MXNetError("Invalid NDArray file format: an array without axes")
        _, _, kind = self.unpack("<iii")
        if not 0 <= kind < len(_TYPES):
            raise MXNetError(f"Invalid NDArray file format: unknown type of numbers {kind}")
        content = self.take(prod(shape) * _TYPES[kind].itemsize)
        return np.frombuffer(content, dtype=_TYPES[kind]).reshape(shape).copy()

    def _shape(self, mark: int) -> tuple[int, ...]:
        if mark in (_V1, _V2, _V3):
            (axes,) = self.unpack("<i")
        else:
            axes = mark  # the first version has no magic number, and 32-bit extents
        if not 0 <= axes <= _LONGEST:
            raise MXNetError(f"Invalid NDArray file format: an array of {axes} axes")
        shape = self.unpack(f"<{axes}{'q' if mark in (_V1, _V2, _V3) else 'I'}")
        if any(extent < 0 for extent in shape):
            raise MXNetError(f"Invalid NDArray file format: an array of shape {shape}")
        return shape
