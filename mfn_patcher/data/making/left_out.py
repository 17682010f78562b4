"""Noting which files are left out of a data set, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TextIO

from mfn_patcher.data.making.photo import Reason


class LeftOutFiles:
    """A table of files that are left out, written as they come; a context manager.

    Args:
        path: the table, with tabs between the columns. It is created with the first entry.

    Attributes:
        counts: number of files by reason.
        first: the first entry as a sentence; empty if there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: TextIO | None = None
        self.counts: Counter[Reason] = Counter()
        self.first = ""

    def __enter__(self) -> LeftOutFiles:
        return self

    def __exit__(self, *_: object) -> None:
        if self._table:
            self._table.close()

    @property
    def total(self) -> int:
        """Number of files that are left out."""
        return self.counts.total()

    def add(self, path: str, reason: Reason, detail: str) -> None:
        """Note a file.

        Args:
            path: path of the file, on one line.
            reason: kind of problem.
            detail: the problem, to follow the path in a sentence.
        """
        if self._table is None:
            self._table = self._path.open("w", encoding="utf-8")
            self.first = f"{path}, which {detail}"
        self.counts[reason] += 1
        self._table.write(f"{path}\t{reason.value}\t{detail}\n")
