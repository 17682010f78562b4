"""What checking a data set found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_patcher.finding import Finding, Level


@dataclass(frozen=True)
class VerificationFacts:
    """How large a verification set is."""

    images: int
    pairs: int


@dataclass(frozen=True)
class Report:
    """All findings about a data set.

    Attributes:
        directory: Of the data set.
        identities: How many, by the record file or else by ``property``; None if unknown.
        images: How many to train with; None if unknown.
        verification_sets: Those that could be read, by name.
        findings: In the order of checking.
    """

    directory: Path
    identities: int | None
    images: int | None
    verification_sets: Mapping[str, VerificationFacts]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level is not Level.ERROR for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the report as ``docs/schema/data-check.json`` describes it."""
        return {
            "directory": str(self.directory),
            "identities": self.identities,
            "images": self.images,
            "verification_sets": {
                name: {"images": facts.images, "pairs": facts.pairs}
                for name, facts in self.verification_sets.items()
            },
            "findings": [finding.as_json() for finding in self.findings],
            "ok": self.ok,
        }
