"""Size and SHA-256 of files, which show whether a file is the one that was saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.trainer.mfn_trainer import layout


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
    return FileDigest(path.name, **layout.digest(path))
