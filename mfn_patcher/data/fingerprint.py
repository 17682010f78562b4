"""A fingerprint of a data set, in seconds; hashing the whole data set would take minutes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.data.verification_set import NAMES
from mfn_patcher.progress import task

# Files that are hashed whole: they are small, or contain the positions of all records, which
# determine their lengths.
_WHOLE = ("property", "train.idx", *(f"{name}.bin" for name in NAMES))
_SAMPLED = "train.rec"
_SAMPLE = 1 << 16  # bytes
_SAMPLES = 128
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class FileFingerprint:
    """The fingerprint of one file.

    Attributes:
        size: size in bytes.
        sha256: hash of the whole file, or of its samples.
        whole: whether the hash covers the whole file.
    """

    size: int
    sha256: str
    whole: bool


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of a data set, which is equal for all copies of it.

    It covers every byte of ``property``, ``train.idx`` and the verification sets; of ``train.rec``
    it covers the size and 128 evenly spaced samples of 64 KiB, including both ends. A changed
    record length is noticed, because it moves the positions in ``train.idx``. A change between the
    samples that keeps every length is not.

    Attributes:
        sha256: hash over the names, sizes and hashes of the files.
        files: the fingerprints of the existing files, by name.
    """

    sha256: str
    files: Mapping[str, FileFingerprint]


def fingerprint(directory: Path) -> Fingerprint:
    """Return the fingerprint of a data set.

    Raises:
        OSError: A file cannot be read.
    """
    with task(f"reading {directory} for its fingerprint"):
        files = {
            name: _print(directory / name)
            for name in sorted((*_WHOLE, _SAMPLED))
            if (directory / name).is_file()
        }
    lines = (f"{name} {file.size} {file.sha256}\n" for name, file in files.items())
    return Fingerprint(hashlib.sha256("".join(lines).encode()).hexdigest(), files)


def _print(path: Path) -> FileFingerprint:
    digest = hashlib.sha256()
    size = path.stat().st_size
    whole = path.name != _SAMPLED or size <= _SAMPLE * _SAMPLES
    with path.open("rb") as file:
        chunks = iter(lambda: file.read(_CHUNK), b"") if whole else _samples(file.fileno(), size)
        for chunk in chunks:
            digest.update(chunk)
    return FileFingerprint(size, digest.hexdigest(), whole)


def _samples(file: int, size: int) -> Iterable[bytes]:
    for number in range(_SAMPLES):
        yield os.pread(file, _SAMPLE, (size - _SAMPLE) * number // (_SAMPLES - 1))
