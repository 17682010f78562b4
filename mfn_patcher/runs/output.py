"""The log of a run: the script's output, locked while the script writes into it."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import BinaryIO

from mfn_patcher.files import try_lock


def lock(log: BinaryIO) -> None:
    """Lock a log as long as it is open, in this process or in a child that inherits it.

    Raises:
        BlockingIOError: another run writes into it.
    """
    fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_written(path: Path) -> bool:
    """Return whether a log is locked, which means that its run is still going."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return not try_lock(file.fileno(), fcntl.LOCK_SH)
    return False
