"""The lock of a prefix: only one run at a time saves checkpoints to it.

It is a file beside the checkpoints, where any workspace and host that shares their folder sees it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.files import try_lock


class LockedError(MfnPatchError):
    """Another run saves to the same prefix."""


@contextlib.contextmanager
def hold(prefix: Path) -> Iterator[int]:
    """Hold the lock of a prefix, whose folder is made if it does not exist.

    Args:
        prefix: path prefix of the checkpoint files.

    Yields:
        A descriptor; a child that inherits it holds the lock as long as it runs.

    Raises:
        LockedError: another run holds it.
        OSError: the folder is not writable.
    """
    path = _file(prefix)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _open_locked(path, prefix) as file:
        file.truncate(0)  # a run that was killed leaves its name
        try:
            yield file.fileno()
        finally:
            # While it is still locked, so that it is not the file of the next run.
            with contextlib.suppress(OSError):
                path.unlink()


def name_holder(lock: int, folder: Path) -> None:
    """Write the folder of the run that holds a lock into it, for those who are refused."""
    os.write(lock, os.fsencode(folder))


def require_free(prefix: Path) -> None:
    """Check that no run holds the lock of a prefix.

    Raises:
        LockedError: a run holds it.
    """
    with contextlib.suppress(OSError), _file(prefix).open("rb") as file:
        _lock(file, fcntl.LOCK_SH, prefix)


def _open_locked(path: Path, prefix: Path) -> BinaryIO:
    while True:
        file = path.open("ab", buffering=0)
        try:
            _lock(file, fcntl.LOCK_EX, prefix)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        # The run that held it has removed it since it was opened.
        file.close()


def _file(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.lock")


def _lock(file: BinaryIO, kind: int, prefix: Path) -> None:
    if not try_lock(file.fileno(), kind):
        folder = os.fsdecode(_file(prefix).read_bytes())
        where = f"; its record is in {folder}" if folder else ""
        raise LockedError(
            f"a run that saves to {prefix} is still running{where}",
            remedy="Wait for it or stop it, or choose another folder with --models-dir.",
        )
