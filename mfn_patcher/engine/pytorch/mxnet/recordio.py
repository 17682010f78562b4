"""Reading RecordIO files, as training does.

A record is a magic number, its length with two bits for its kind, and its bytes, padded to a
multiple of four. A record that contains the magic number is split there into several parts.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from .base import MXNetError, OutOfScopeError, out_of_scope

__getattr__ = out_of_scope("mxnet.recordio")

_MARK = struct.pack("<I", 0xCED7230A)
_HEADER = struct.Struct("<IfQQ")
_FIRST, _MIDDLE, _LAST = 1, 2, 3


class IRHeader(NamedTuple):
    """The header before the image of a record.

    Attributes:
        flag: number of labels; 0 for a single label in the header itself.
        label: a number, or an array of `flag` numbers.
        id: number that the writer chose.
        id2: second number that the writer chose.
    """

    flag: int
    label: Any
    id: int
    id2: int


class MXRecordIO:
    """Reads the records of a file in order.

    Attributes:
        uri: path of the file.
    """

    def __init__(self, uri: str, flag: str) -> None:
        """Open a file.

        Args:
            uri: path of the file.
            flag: must be ``r``; writing is not supported.

        Raises:
            MXNetError: The file cannot be opened.
        """
        if flag != "r":
            raise OutOfScopeError(f"mxnet.recordio with flag {flag!r}")
        self.uri = uri
        try:
            self._file = open(uri, "rb")  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise MXNetError(f"cannot open {uri}: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def reset(self) -> None:
        """Go back to the first record."""
        self._file.seek(0)

    def read(self) -> bytes | None:
        """Return the next record; None at the end of the file.

        Raises:
            MXNetError: The file is damaged.
        """
        parts: list[bytes] = []
        while True:
            kind, part = self._read_part()
            if part is None:
                if parts:
                    raise MXNetError(f"{self.uri} ends within a record")
                return None
            if bool(parts) != (kind in (_MIDDLE, _LAST)):
                raise MXNetError(f"{self.uri} has a record with parts out of order")
            parts.append(part)
            if kind not in (_FIRST, _MIDDLE):
                return _MARK.join(parts)

    def _read_part(self) -> tuple[int, bytes | None]:
        frame = self._file.read(8)
        if not frame:
            return 0, None
        if len(frame) < 8 or frame[:4] != _MARK:
            raise MXNetError(f"{self.uri} has no record at byte {self._file.tell() - len(frame)}")
        (word,) = struct.unpack("<I", frame[4:])
        kind, size = word >> 29, word & ((1 << 29) - 1)
        part = self._file.read(size)
        self._file.read(-size % 4)
        if len(part) < size:
            raise MXNetError(f"{self.uri} ends within a record")
        return kind, part


class MXIndexedRecordIO(MXRecordIO):
    """Reads records by their keys.

    Attributes:
        idx: byte offset of each record by key.
        keys: the keys, in the order of the index.
    """

    def __init__(self, idx_path: str, uri: str, flag: str) -> None:
        """Open a file and read its index.

        Args:
            idx_path: path of the index, whose lines are a key and a byte offset.
            uri: path of the record file.
            flag: must be ``r``.

        Raises:
            MXNetError: A file cannot be read.
        """
        super().__init__(uri, flag)
        self.idx: dict[int, int] = {}
        self.keys: list[int] = []
        try:
            with open(idx_path, encoding="utf-8") as file:
                for line in file:
                    key, place = line.strip().split("\t")
                    self.idx[int(key)] = int(place)
                    self.keys.append(int(key))
        except (OSError, ValueError) as error:
            raise MXNetError(f"cannot read the index {idx_path}: {error}") from None

    def read_idx(self, idx: int) -> bytes | None:
        """Return the record with a key."""
        self._file.seek(self.idx[idx])
        return self.read()


def unpack(s: bytes) -> tuple[IRHeader, bytes]:
    """Return the header and the image of a record.

    Raises:
        MXNetError: The record is too short for its header.
    """
    try:
        header = IRHeader(*_HEADER.unpack_from(s))
        rest = s[_HEADER.size :]
        if header.flag == 0:
            return header, rest
        labels = np.frombuffer(rest, np.float32, header.flag)
    except (struct.error, ValueError) as error:
        raise MXNetError(f"a record of {len(s)} bytes has no header: {error}") from None
    return header._replace(label=labels), rest[4 * header.flag :]
