"""Size and SHA-256 of files, which tell whether a file is the one that was saved."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class FileDigest:
    """What identifies the contents of a file.

    Attributes:
        name: name of the file, without folder.
        bytes: its size.
        sha256: SHA-256 of its contents, in hexadecimal.
    """

    name: str
    bytes: int
    sha256: str


def digest(path: Path) -> FileDigest:
    """Read a file and return what identifies its contents.

    Raises:
        OSError: The file cannot be read.
    """
    sha256, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            size += len(chunk)
    return FileDigest(path.name, size, sha256.hexdigest())
