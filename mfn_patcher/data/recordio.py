"""RecordIO as MXNet writes it: writing a record file and its index, and reading both.

The format of records, and how they are read, is in `mfn_patcher.trainer.mfn_trainer.recordio`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.trainer.mfn_trainer import recordio
from mfn_patcher.trainer.mfn_trainer.recordio import MAGIC, PathLike, Record

Int64Array = npt.NDArray[np.int64]

MOST_KEYS = 1 << 24
"""Maximum number of records: labels, which hold keys, are float32, which is exact up to this."""
COPY_AGAIN = "Copy or download the record file and its index again, both from one source."


class RecordIOError(MfnPatchError):
    """A record file or its index cannot be read; the message names file and position."""

    def __init__(self, message: str, *, remedy: str = COPY_AGAIN) -> None:
        super().__init__(message, remedy=remedy)


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
        return recordio.HEADER.pack(len(label), 0.0, key, 0) + labels + content
    return recordio.HEADER.pack(0, label, key, 0) + content


def unpack(payload: bytes) -> Record:
    """Parse the payload of a record.

    Raises:
        RecordIOError: The payload is shorter than its header says.
    """
    try:
        return recordio.unpack(payload)
    except recordio.RecordError as error:
        raise RecordIOError(str(error)) from None


def _split_at_magic(payload: bytes) -> list[bytes]:
    """Split the payload at every magic number at a multiple of four."""
    parts = []
    start = 0
    found = payload.find(MAGIC)
    while found >= 0:
        if found % recordio.ALIGNMENT:
            found = payload.find(MAGIC, found + 1)
            continue
        parts.append(payload[start:found])
        start = found + len(MAGIC)
        found = payload.find(MAGIC, start)
    parts.append(payload[start:])
    return parts


class RecordWriter:
    """Writes a record file and its index; a context manager.

    Args:
        records: path of the record file to create.
        index: path of the index file to create.
    """

    def __init__(self, records: PathLike, index: PathLike) -> None:
        self._records = Path(records).open("wb")  # noqa: SIM115 - closed on exit
        self._index = Path(index).open("w", encoding="ascii", newline="\n")  # noqa: SIM115

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._records.close()
        self._index.close()

    def write(self, key: int, payload: bytes) -> int:
        """Append a record.

        Returns:
            The record's position: bytes from the start of the file.

        Raises:
            RecordIOError: The payload is longer than the format can express.
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
        if len(payload) > recordio.LENGTH_MASK:
            raise RecordIOError(f"record {key} is too long for RecordIO: {len(payload)} bytes")
        parts = _split_at_magic(payload)
        for number, part in enumerate(parts):
            if len(parts) == 1:
                flag = recordio.WHOLE
            elif number == 0:
                flag = recordio.FIRST
            else:
                flag = recordio.LAST if number == len(parts) - 1 else recordio.MIDDLE
            self._records.write(recordio.PART.pack(MAGIC, flag << recordio.LENGTH_BITS | len(part)))
            self._records.write(part + bytes(recordio.padding(len(part))))


class RecordReader(recordio.RecordReader):
    """Reads records by their positions, or one after the other; a context manager.

    Args:
        path: path of the record file.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: PathLike) -> None:
        super().__init__(path)
        self._path = Path(path)

    def read_to_end(self, position: int) -> tuple[bytes, int]:
        """Read a record; errors name the file and have a remedy.

        Raises:
            RecordIOError: No record starts there, or the file ends within it.
        """
        try:
            return super().read_to_end(position)
        except recordio.RecordError as error:
            raise RecordIOError(f"{self._path}: {error}") from None


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
            OSError: The file cannot be opened.
        """
        content = Path(path).read_bytes()
        lines = content.count(b"\n") + (not content.endswith(b"\n"))
        with warnings.catch_warnings():
            # NumPy only warns about an empty file and about fractions.
            warnings.simplefilter("error")
            try:
                table = np.loadtxt(
                    io.BytesIO(content), dtype=np.int64, delimiter="\t", comments=None, ndmin=2
                )
            except (ValueError, OverflowError, Warning):
                table = _read_lines(path, content)
        # NumPy skips empty lines; MXNet stops at them.
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
                f"{path} is not a valid index: line {number} is {line!r}, not a key, a tab and a "
                "position",
                remedy="Write one line per record and nothing else: its key, a tab, its position.",
            ) from None
        if not all(limits.min <= value <= limits.max for value in (key, position)):
            raise RecordIOError(
                f"{path} is not a valid index: line {number} is {line!r}, beyond any file"
            )
        rows.append((key, position))
    if not rows:
        raise RecordIOError(f"{path} is not a valid index: it is empty")
    return np.asarray(rows, dtype=np.int64)
