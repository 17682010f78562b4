"""RecordIO as MXNet writes it: a file of records, and an index of their positions.

A record is one part, or several where its payload holds the file's magic number. A part is
the magic, a word with a 3-bit continuation flag and a 29-bit length, and the data, padded
with zeros to four bytes. All numbers are little-endian. The payload of a record is a header
(`Record`), which carries the labels, and the content, here an encoded image.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Union

import numpy as np
import numpy.typing as npt

from mfn_patcher.errors import MfnPatchError

MAGIC = struct.pack("<I", 0xCED7230A)
_PART = struct.Struct("<4sI")
_HEADER = struct.Struct("<IfQQ")
_LENGTH_BITS = 29
_LENGTH_MASK = (1 << _LENGTH_BITS) - 1
# Continuation flags: the whole record, or its first, a middle or its last part.
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_ALIGNMENT = 4

Int64Array = npt.NDArray[np.int64]
PathLike = Union[str, "os.PathLike[str]"]


COPY_AGAIN = "Copy or download the record file and its index again, both from one source."


class RecordIOError(MfnPatchError):
    """A record file or its index can't be read; the message names file and position."""

    def __init__(self, message: str, *, remedy: str = COPY_AGAIN) -> None:
        super().__init__(message, remedy=remedy)


@dataclass(frozen=True)
class Record:
    """The payload of a record, taken apart.

    Attributes:
        flag: 0 for one label; otherwise the number of labels.
        labels: The labels, float32 in the file.
        id: The record's key, as its writer noted it; nothing reads it.
        content: What follows the header: an encoded image, or nothing.
    """

    flag: int
    labels: tuple[float, ...]
    id: int
    content: bytes


def pack(label: float | Sequence[float], key: int, content: bytes = b"") -> bytes:
    """Build the payload of a record.

    Args:
        label: One label (flag 0), or a sequence of labels (flag: how many).
        key: The record's key.
        content: What follows the header.

    Returns:
        The payload, for `RecordWriter.write`.
    """
    if isinstance(label, Sequence):
        labels = np.asarray(label, dtype="<f4").tobytes()
        return _HEADER.pack(len(label), 0.0, key, 0) + labels + content
    return _HEADER.pack(0, label, key, 0) + content


def unpack(payload: bytes) -> Record:
    """Take the payload of a record apart.

    Raises:
        RecordIOError: The payload is shorter than its header says.
    """
    if len(payload) < _HEADER.size:
        raise RecordIOError(f"a payload of {len(payload)} bytes has no room for a header")
    flag, label, key, _ = _HEADER.unpack_from(payload)
    if flag == 0:
        return Record(0, (label,), key, payload[_HEADER.size :])
    end = _HEADER.size + 4 * flag
    if len(payload) < end:
        raise RecordIOError(f"a payload of {len(payload)} bytes has no room for {flag} labels")
    labels = struct.unpack_from(f"<{flag}f", payload, _HEADER.size)
    return Record(flag, labels, key, payload[end:])


def _split_at_magic(payload: bytes) -> list[bytes]:
    """Cut the payload at, and without, every magic that stands at a multiple of four."""
    parts = []
    start = 0
    found = payload.find(MAGIC)
    while found >= 0:
        if found % _ALIGNMENT:
            found = payload.find(MAGIC, found + 1)
            continue
        parts.append(payload[start:found])
        start = found + len(MAGIC)
        found = payload.find(MAGIC, start)
    parts.append(payload[start:])
    return parts


def _padding(length: int) -> int:
    return -length % _ALIGNMENT


class RecordWriter:
    """Writes a record file and its index; a context manager.

    Args:
        records: The record file, made anew.
        index: The index file, made anew.
    """

    def __init__(self, records: PathLike, index: PathLike) -> None:
        self._records = Path(records).open("wb")  # noqa: SIM115 - closed on exit
        self._index = Path(index).open("w", encoding="ascii", newline="\n")  # noqa: SIM115

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._records.close()
        self._index.close()

    def write(self, key: int, payload: bytes) -> int:
        """Append a record.

        Returns:
            The record's position: bytes from the start of the file.

        Raises:
            RecordIOError: The payload is longer than the format can say.
        """
        position = self._records.tell()
        self._write_parts(key, payload)
        self._index.write(f"{key}\t{position}\n")
        return position

    def rewrite_first(self, payload: bytes) -> None:
        """Replace the first record, which has key 0, by one of the same length.

        It says how many records there are, which may be known only at the end.
        """
        end = self._records.tell()
        self._records.seek(0)
        self._write_parts(0, payload)
        self._records.seek(end)

    def _write_parts(self, key: int, payload: bytes) -> None:
        if len(payload) > _LENGTH_MASK:
            raise RecordIOError(f"record {key} is too long for RecordIO: {len(payload)} bytes")
        parts = _split_at_magic(payload)
        for number, part in enumerate(parts):
            if len(parts) == 1:
                flag = _WHOLE
            elif number == 0:
                flag = _FIRST
            else:
                flag = _LAST if number == len(parts) - 1 else _MIDDLE
            self._records.write(_PART.pack(MAGIC, flag << _LENGTH_BITS | len(part)))
            self._records.write(part + bytes(_padding(len(part))))


class RecordReader:
    """Reads records by their positions, or one after the other; a context manager.

    Args:
        path: The record file.

    Attributes:
        size: Size of the file in bytes.

    Raises:
        OSError: The file can't be opened.
    """

    def __init__(self, path: PathLike) -> None:
        self._path = Path(path)
        self._file = self._path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield position and payload of every record, from the start of the file."""
        position = 0
        while position < self.size:
            payload = self.read(position)
            following = self.tell()
            yield position, payload
            position = following

    def tell(self) -> int:
        """Return the position behind the record read last, its padding included."""
        return self._file.tell()

    def read(self, position: int) -> bytes:
        """Read the record at a position.

        Args:
            position: Bytes from the start of the file, as the index has it.

        Returns:
            The payload; see `unpack`.

        Raises:
            RecordIOError: No record starts there, or the file ends within it.
        """
        if not 0 <= position < self.size:
            raise RecordIOError(
                f"{self._path}: position {position} is outside the file, which has "
                f"{self.size:,} bytes"
            )
        self._file.seek(position)
        flag, data = self._read_part(position)
        if flag == _WHOLE:
            return data
        if flag != _FIRST:
            raise RecordIOError(f"{self._path}: position {position} is within a record")
        parts = [data]
        while flag != _LAST:
            flag, data = self._read_part(position)
            if flag not in (_MIDDLE, _LAST):
                raise RecordIOError(f"{self._path}: the record at {position} has no last part")
            parts.append(data)
        return MAGIC.join(parts)

    def _read_part(self, position: int) -> tuple[int, bytes]:
        head = self._read_exactly(_PART.size, position)
        magic, word = _PART.unpack(head)
        if magic != MAGIC:
            at = self._file.tell() - _PART.size
            raise RecordIOError(
                f"{self._path}: no magic number at {at}, in the record at {position}"
            )
        length = word & _LENGTH_MASK
        data = self._read_exactly(length + _padding(length), position)
        return word >> _LENGTH_BITS, data[:length]

    def _read_exactly(self, count: int, position: int) -> bytes:
        # Asked first, so that a corrupt length costs no memory.
        left = self.size - self._file.tell()
        data = self._file.read(count) if count <= left else b""
        if len(data) != count:
            raise RecordIOError(
                f"{self._path}: the record at {position} is cut short: "
                f"the file ends at {self.size}, {count - left} bytes too early"
            )
        return data


@dataclass(frozen=True)
class Index:
    """Where the records are.

    Attributes:
        keys: int64 array of shape (records,), in rising order.
        positions: int64 array of shape (records,): bytes from the start of the record file.
    """

    keys: Int64Array
    positions: Int64Array

    @staticmethod
    def read(path: PathLike) -> Index:
        r"""Read an index file as MXNet does: lines ``key\tposition``, whatever may follow.

        Raises:
            RecordIOError: A line isn't two integers, or there is none.
            OSError: The file can't be opened.
        """
        content = Path(path).read_bytes()
        lines = content.count(b"\n") + (not content.endswith(b"\n"))
        with warnings.catch_warnings():
            # NumPy only warns of an empty file and of fractions.
            warnings.simplefilter("error")
            try:
                table = np.loadtxt(
                    io.BytesIO(content), dtype=np.int64, delimiter="\t", comments=None, ndmin=2
                )
            except (ValueError, OverflowError, Warning):
                table = _read_lines(path, content)
        # NumPy passes over empty lines, at which MXNet ends.
        if table.shape != (lines, 2):
            table = _read_lines(path, content)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return Index(table[:, 0], table[:, 1])

    def position(self, key: int) -> int | None:
        """Return the position of a key's record, the last of several; None without one."""
        place = int(np.searchsorted(self.keys, key, side="right")) - 1
        if place < 0 or self.keys[place] != key:
            return None
        return int(self.positions[place])


def _read_lines(path: PathLike, content: bytes) -> Int64Array:
    """Read an index line by line, much slower, to find what is wrong with it."""
    rows = []
    limits = np.iinfo(np.int64)
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        try:
            key, position = map(int, line.strip().split("\t")[:2])
        except ValueError:
            raise RecordIOError(
                f"{path} is no index: line {number} is {line!r}, not a key, a tab and a position",
                remedy="Write one line a record, and no others: its key, a tab, its position.",
            ) from None
        if not all(limits.min <= value <= limits.max for value in (key, position)):
            raise RecordIOError(f"{path} is no index: line {number} is {line!r}, beyond any file")
        rows.append((key, position))
    if not rows:
        raise RecordIOError(f"{path} is no index: it is empty")
    return np.asarray(rows, dtype=np.int64)
