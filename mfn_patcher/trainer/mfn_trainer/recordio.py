"""Reading RecordIO files as MXNet writes them.

A record is one part, or several where its payload holds the file's magic number. A part is
the magic, a word with a 3-bit continuation flag and a 29-bit length, and the data, padded
with zeros to four bytes. All numbers are little-endian. The payload of a record is a header
(`Record`), which carries the labels, and the content, here an encoded image.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

MAGIC = struct.pack("<I", 0xCED7230A)
PART = struct.Struct("<4sI")
HEADER = struct.Struct("<IfQQ")
LENGTH_BITS = 29
LENGTH_MASK = (1 << LENGTH_BITS) - 1
# Continuation flags: the whole record, or its first, a middle or its last part.
WHOLE, FIRST, MIDDLE, LAST = range(4)
ALIGNMENT = 4
# Bytes that are read at once; nearly all images are smaller.
_USUAL = 1 << 14

PathLike = str | os.PathLike[str]
Reader = TypeVar("Reader", bound="RecordReader")


class RecordError(ValueError):
    """A record cannot be read; the message says where in the file and why."""


@dataclass(frozen=True)
class Record:
    """The parsed payload of a record.

    Attributes:
        flag: 0 for one label; otherwise the number of labels.
        labels: the labels, float32 in the file.
        id: the record's key, as its writer noted it; nothing reads it.
        content: what follows the header: an encoded image, or nothing.
    """

    flag: int
    labels: tuple[float, ...]
    id: int
    content: bytes


def padding(length: int) -> int:
    """Return the number of zeros that follow a part of some length, both in bytes."""
    return -length % ALIGNMENT


def unpack(payload: bytes) -> Record:
    """Parse the payload of a record.

    Raises:
        RecordError: The payload is shorter than its header says.
    """
    if len(payload) < HEADER.size:
        raise RecordError(f"a payload of {len(payload)} bytes has no room for a header")
    flag, label, key, _ = HEADER.unpack_from(payload)
    if flag == 0:
        return Record(0, (label,), key, payload[HEADER.size :])
    end = HEADER.size + 4 * flag
    if len(payload) < end:
        raise RecordError(f"a payload of {len(payload)} bytes has no room for {flag} labels")
    labels = struct.unpack_from(f"<{flag}f", payload, HEADER.size)
    return Record(flag, labels, key, payload[end:])


class RecordReader:
    """Reads records by their positions; a context manager.

    It keeps no position, so threads can share it.

    Args:
        path: path of the record file.

    Attributes:
        size: size of the file in bytes.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: PathLike) -> None:
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (closed by close)
        self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self: Reader) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield position and payload of every record, from the start of the file."""
        position = 0
        while position < self.size:
            payload, end = self.read_to_end(position)
            yield position, payload
            position = end

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, position: int) -> bytes:
        """Read the record at a position.

        Args:
            position: bytes from the start of the file, as the index has it.

        Returns:
            The payload; see `unpack`.

        Raises:
            RecordError: No record starts there, or the file ends within it.
        """
        return self.read_to_end(position)[0]

    def read_to_end(self, position: int) -> tuple[bytes, int]:
        """Read the record at a position; also return the position after it."""
        if not 0 <= position < self.size:
            raise RecordError(
                f"position {position} is outside the file, which has {self.size:,} bytes"
            )
        flag, data, end = self._read_part(position, position)
        if flag == WHOLE:
            return data, end
        if flag != FIRST:
            raise RecordError(f"position {position} is within a record")
        parts = [data]
        while flag != LAST:
            flag, data, end = self._read_part(end, position)
            if flag not in (MIDDLE, LAST):
                raise RecordError(f"the record at {position} has no last part")
            parts.append(data)
        return MAGIC.join(parts), end

    def _read_part(self, place: int, record: int) -> tuple[int, bytes, int]:
        """Return flag and data of the part at `place`, and the place after it."""
        found = os.pread(self._file.fileno(), _USUAL, place)
        if len(found) < PART.size:
            raise self._cut_short(record, place + PART.size)
        magic, word = PART.unpack_from(found)
        if magic != MAGIC:
            raise RecordError(f"no magic number at {place}, in the record at {record}")
        length = word & LENGTH_MASK
        end = PART.size + length + padding(length)
        # Checked first, so that a corrupt length costs no memory.
        if place + end > self.size:
            raise self._cut_short(record, place + end)
        if len(found) < end:
            found += os.pread(self._file.fileno(), end - len(found), place + len(found))
        if len(found) < end:
            raise self._cut_short(record, place + end)
        return word >> LENGTH_BITS, found[PART.size : PART.size + length], place + end

    def _cut_short(self, record: int, end: int) -> RecordError:
        size = os.fstat(self._file.fileno()).st_size  # it may have been cut since it was opened
        return RecordError(
            f"the record at {record} is cut short: the file ends at {size}, "
            f"{end - size} bytes too early"
        )
