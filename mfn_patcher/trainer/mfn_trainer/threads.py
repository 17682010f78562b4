"""How many threads decode images."""

from __future__ import annotations

import os

# More threads would wait for Python's lock, and these feed fast GPUs already.
_MOST = 8


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Return the number of threads that decode images by default: one per core, at most 8."""
    return min(cores(), _MOST)
