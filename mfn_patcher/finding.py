"""What a check, of a data set or of the machine, found."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

from mfn_patcher.remedies import as_typed


class Level(str, enum.Enum):
    """How bad a finding is; the values are what people and programs are told.

    An error stops the training, or spoils it; a warning may be meant so.
    """

    OK = "ok"
    WARNING = "warning"
    ERROR = "failed"


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

    def as_json(self) -> dict[str, str]:
        """Return it as all JSON output has it."""
        return {
            **dataclasses.asdict(self),
            "level": self.level.value,
            "remedy": as_typed(self.remedy),
        }
