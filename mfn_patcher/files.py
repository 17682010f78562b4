"""Paths and files that people give: made absolute, and read whole without ever blocking."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MOST = 16 << 20  # bytes; even all of upstream as patches is smaller


def read(path: Path) -> bytes:
    """Return the content of a regular file.

    Pipes and devices are refused, because reading them may never end.

    Raises:
        OSError: the file cannot be read, is not a regular file, or is larger than 16 MiB.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe, socket or device", str(path))
        if found.st_size > _MOST:
            raise OSError(errno.EFBIG, "it is larger than 16 MiB", str(path))
        return file.read(_MOST)


def absolute(path: Path, folder: Path) -> str:
    """Return a path that is relative to `folder` as an absolute one, without following links."""
    return os.path.normpath(folder / path)
