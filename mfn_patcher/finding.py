"""What a check, of a data set or of the machine, found."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(str, enum.Enum):
    """How bad a finding is.

    An error stops the training, or spoils it; a warning may be meant so.
    """

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"

    @property
    def word(self) -> str:
        """What people are told."""
        return "failed" if self is Level.ERROR else self.value


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        level: How bad it is.
        check: What was checked: a file, or a part of one.
        detail: What was found.
        remedy: What to do about it; empty where nothing is to do.
    """

    level: Level
    check: str
    detail: str
    remedy: str = ""
