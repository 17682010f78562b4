"""The parameters of a checkpoint: whether the file is complete, and which layers a stage can use.

A ``.params`` file is little-endian: a magic number, a reserved word, the number of arrays, the
arrays, the number of names, the names. Only names and shapes are read; values are skipped.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from mfn_patcher.errors import MfnPatchError

_FILE_MARK = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_BYTES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 8: 2, 9: 2, 10: 4, 11: 8, 12: 2}
"""Size of a number in bytes, by MXNet's codes of the types."""
_MOST_AXES = 32

HEAD = ("pre_fc1_", "fc1_", "fc7_")
"""Prefixes of the parameters that depend on the embedding size or the number of identities."""

Shape = tuple[int, ...]


class ParametersError(MfnPatchError):
    """A ``.params`` file is truncated or invalid."""


def read_shapes(path: Path) -> dict[str, Shape]:
    """Return the shape of each parameter of a checkpoint, by name, without MXNet's prefix.

    Raises:
        ParametersError: The file is truncated, or not a checkpoint.
        OSError: The file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file).shapes()
    except ValueError as error:
        raise ParametersError(
            f"{path} is truncated or not a checkpoint: {error}",
            remedy="Copy the file again, or start from another checkpoint.",
        ) from error


def random_layers(
    shapes: Mapping[str, Shape], identities: int, embedding_size: int
) -> dict[str, list[str]]:
    """Return the names of the head's parameters that are initialised at random, by reason.

    Args:
        shapes: shapes of the checkpoint's parameters, by name.
        identities: number of classes to train.
        embedding_size: length of the embedding to train.
    """
    found: dict[str, list[str]] = {}
    for name, shape in sorted(shapes.items()):
        if not name.startswith(HEAD) or name == "fc7_bias" or not shape:
            continue  # unpatched code trains a bias with softmax, which is not used
        length = shape[-1] if name == "fc7_weight" else shape[0]
        if length != embedding_size:
            why = f"its embeddings have {length} values, the new ones {embedding_size}"
            found.setdefault(why, []).append(name)
        elif name == "fc7_weight" and shape[0] != identities:
            why = f"it was trained with {shape[0]} identities, the data set has {identities}"
            found.setdefault(why, []).append(name)
    if "fc7_weight" not in shapes:
        found.setdefault("it has none", []).append("fc7_weight")
    return found


class _Reader:
    """Reads an open file; anything unexpected raises ValueError."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def shapes(self) -> dict[str, Shape]:
        mark, _, count = self._unpack("<QQQ")
        if mark != _FILE_MARK:
            raise ValueError("it has no magic number")
        shapes = [self._array() for _ in range(self._count(count))]
        names = [self._name() for _ in range(self._count(*self._unpack("<Q")))]
        if not names or len(names) != len(shapes):
            raise ValueError(f"it has {len(names)} names for {len(shapes)} arrays")
        return {name.partition(":")[2]: shape for name, shape in zip(names, shapes)}

    def _array(self) -> Shape:
        (mark,) = self._unpack("<I")
        if mark in (_V2, _V3) and self._unpack("<i") != (0,):
            raise ValueError("it has sparse arrays")
        axes = self._unpack("<i")[0] if mark in (_V1, _V2, _V3) else mark
        if not 0 <= axes <= _MOST_AXES:
            raise ValueError(f"it has an array of {axes} axes")
        shape = self._unpack(f"<{axes}{'q' if mark in (_V1, _V2, _V3) else 'I'}")
        if axes or mark == _V3:
            kind = self._unpack("<iii")[2]
            if kind not in _BYTES or min(shape, default=0) < 0:
                raise ValueError(f"it has an array of shape {shape} and unknown type {kind}")
            self._skip(math.prod(shape) * _BYTES[kind])
        return shape

    def _name(self) -> str:
        (length,) = self._unpack("<Q")
        return self._take(length).decode()

    def _count(self, number: int) -> int:
        if number > self._left():
            raise ValueError(f"it is too short for {number} arrays")
        return number

    def _unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))

    def _take(self, size: int) -> bytes:
        self._need(size)
        return self._file.read(size)

    def _skip(self, size: int) -> None:
        self._need(size)
        self._file.seek(size, os.SEEK_CUR)

    def _need(self, size: int) -> None:
        if size > self._left():
            missing = size - self._left()
            raise ValueError(f"it ends after {self._size:,} bytes, {missing:,} bytes too early")

    def _left(self) -> int:
        return self._size - self._file.tell()
