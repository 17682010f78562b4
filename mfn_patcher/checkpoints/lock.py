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
def hold(prefix: Path, runs: Path) -> Iterator[int]:
    """Hold the lock of a prefix, whose folder is made if it does not exist.

    Args:
        prefix: path prefix of the checkpoint files.
        runs: folder of the runs of which one holds the lock, for those who are refused.

    Yields:
        A descriptor; a child that inherits it holds the lock as long as it runs.

    Raises:
        LockedError: another run holds it.
        OSError: the folder is not writable.
    """
    path = _file(prefix)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _open_locked(path, prefix) as file:
        file.truncate(0)
        file.write(os.fsencode(runs))
        try:
            yield file.fileno()
        finally:
            # While it is still locked, so that it is not the file of the next run.
            with contextlib.suppress(OSError):
                path.unlink()


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
        runs = os.fsdecode(_file(prefix).read_bytes())
        raise LockedError(
            f"a run that saves to {prefix} is still running; its record is in {runs}",
            remedy="Wait for it or stop it, or choose another folder with --models-dir.",
        )
