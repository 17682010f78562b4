"""A fingerprint of a data set that takes seconds, where hashing all of it would take minutes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.data.verification_set import NAMES

# Files that are hashed whole: small, or the places of all records, which tell their lengths.
_WHOLE = ("property", "train.idx", *(f"{name}.bin" for name in NAMES))
_SAMPLED = "train.rec"
_SAMPLE = 1 << 16  # bytes
_SAMPLES = 128
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class FilePrint:
    """What is known of a file.

    Attributes:
        size: In bytes.
        sha256: Of all of it, or of its samples.
        whole: Whether it is of all.
    """

    size: int
    sha256: str
    whole: bool


@dataclass(frozen=True)
class Fingerprint:
    """A data set's: equal for copies of it, wherever they are.

    Covered are ``property``, ``train.idx`` and the verification sets to the byte, and of
    ``train.rec`` the size and 128 samples of 64 KiB, evenly from the first byte to the last. A
    change of any record's length is seen, for it moves what ``train.idx`` points at. A change
    between the samples that keeps every length is not.

    Attributes:
        sha256: Over names, sizes and hashes of the files.
        files: By name; those that are missing are left out.
    """

    sha256: str
    files: Mapping[str, FilePrint]


def fingerprint(directory: Path) -> Fingerprint:
    """Return the fingerprint of a data set.

    Raises:
        OSError: A file can't be read.
    """
    files = {
        name: _print(directory / name)
        for name in sorted((*_WHOLE, _SAMPLED))
        if (directory / name).is_file()
    }
    lines = (f"{name} {file.size} {file.sha256}\n" for name, file in files.items())
    return Fingerprint(hashlib.sha256("".join(lines).encode()).hexdigest(), files)


def _print(path: Path) -> FilePrint:
    digest = hashlib.sha256()
    size = path.stat().st_size
    whole = path.name != _SAMPLED or size <= _SAMPLE * _SAMPLES
    with path.open("rb") as file:
        for chunk in (
            iter(lambda: file.read(_CHUNK), b"") if whole else _samples(file.fileno(), size)
        ):
            digest.update(chunk)
    return FilePrint(size, digest.hexdigest(), whole)


def _samples(file: int, size: int) -> Iterable[bytes]:
    for number in range(_SAMPLES):
        yield os.pread(file, _SAMPLE, (size - _SAMPLE) * number // (_SAMPLES - 1))
