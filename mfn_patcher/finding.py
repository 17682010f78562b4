"""The result of one check, of a data set or of the machine."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

from mfn_patcher.remedies import as_typed


class Level(str, enum.Enum):
    """Severity of a finding; the values appear in output.

    An error prevents training or invalidates its result; a warning may be intended.
    """

    OK = "ok"
    WARNING = "warning"
    ERROR = "failed"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        level: severity.
        check: what was checked, such as a file or a part of one.
        detail: what was found.
        remedy: what to do about it; empty if nothing needs to be done.
    """

    level: Level
    check: str
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the finding as it appears in all JSON output."""
        return {
            **dataclasses.asdict(self),
            "level": self.level.value,
            "remedy": as_typed(self.remedy),
        }
