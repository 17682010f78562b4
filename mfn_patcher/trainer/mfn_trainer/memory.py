"""The memory that training uses."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import mxnet as mx

_INTERVAL = 2.0  # seconds; asking a GPU can take a millisecond
_PAGES = Path("/proc/self/statm")


class MemoryGauge:
    """Reads the memory in use, at most every other second.

    Args:
        contexts: the devices that train, as MXNet's contexts.
    """

    def __init__(self, contexts: list[Any]) -> None:
        self._gpus = [context.device_id for context in contexts if context.device_type == "gpu"]
        self._read = float("-inf")
        self._found = 0, 0

    def read(self) -> tuple[int, int]:
        """Return the bytes in use and in total.

        Returns:
            Those of the fullest GPU, other processes included. On the CPU, the resident memory of
            this process, and 0 for the total. 0 in place of whatever is unknown.
        """
        now = time.monotonic()
        if now - self._read >= _INTERVAL:
            self._read = now
            self._found = _read_gpus(self._gpus) if self._gpus else (_resident(), 0)
        return self._found


def _read_gpus(gpus: list[int]) -> tuple[int, int]:
    try:
        found = [mx.context.gpu_memory_info(number) for number in gpus]
    except (mx.MXNetError, RuntimeError):
        return 0, 0
    return max((total - free, total) for free, total in found)


def _resident() -> int:
    try:
        pages = int(_PAGES.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
