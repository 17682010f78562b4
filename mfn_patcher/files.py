"""Paths and files that people give: made absolute, read and written whole, replaced if asked."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError

if TYPE_CHECKING:
    from pathlib import Path

_MOST = 16 << 20  # bytes; even all of upstream as patches is smaller


class OutputExistsError(MfnPatchError):
    """A file to write exists already."""


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Try to lock an open file or folder, without waiting; return whether it succeeded.

    Where the file system has no locks, it is taken for free.

    Args:
        descriptor: the open file.
        kind: ``fcntl.LOCK_EX`` or ``fcntl.LOCK_SH``.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


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


def require_new(path: Path, *, overwrite: bool) -> None:
    """Refuse to write to a path that exists, unless the user asks for that.

    Raises:
        OutputExistsError: it exists, or is a link, and `overwrite` is not set.
    """
    if not overwrite and os.path.lexists(path):
        raise OutputExistsError(
            f"{path} already exists", remedy="Choose another name, or pass --overwrite."
        )


def write(path: Path, content: bytes) -> None:
    """Write a file, completely or not at all, even in a power cut; what is there is replaced.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def absolute(path: Path, folder: Path) -> str:
    """Return a path that is relative to `folder` as an absolute one, without following links."""
    return os.path.normpath(folder / path)
