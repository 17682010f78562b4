"""The file in which the training package says where a worker is."""

from __future__ import annotations

import os
from dataclasses import dataclass

PROGRESS = "progress"
"""Name of the file in the folder of a run or a rank."""
_LINE_BYTES = 80


@dataclass(frozen=True)
class WorkerProgress:
    """Where a worker is.

    Attributes:
        step: number of the step that it began last.
        phase: what it does, as ``mfn_trainer.progress`` names it.
        memory_used: bytes in use on its fullest GPU, or by the process on the CPU; 0 if unknown.
        memory_total: bytes of that GPU; 0 on the CPU.
    """

    step: int
    phase: str
    memory_used: int
    memory_total: int


def read_progress(file: int) -> WorkerProgress | None:
    """Return where a worker is; None before it says so.

    Args:
        file: descriptor of the file.
    """
    try:
        line = os.pread(file, _LINE_BYTES, 0).decode("ascii")
        _rank, step, phase, used, total = line.split()
        return WorkerProgress(int(step), phase, int(used), int(total))
    except (OSError, ValueError):
        return None
