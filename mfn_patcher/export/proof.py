"""Whether an exported network computes what the engine does, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mfn_patcher.children.exported import Floats
from mfn_patcher.export.formats.base import Limits


@dataclass(frozen=True)
class Agreement:
    """How close two arrays of equal shape are.

    Attributes:
        cosine: smallest cosine of their rows.
        difference: largest difference of their numbers.
        scale: what the difference is relative to: the largest number of the reference, or 1.
    """

    cosine: float
    difference: float
    scale: float

    def within(self, limits: Limits) -> bool:
        """Return whether it is within limits; NaN and Inf never are."""
        close = limits.difference is None or self.difference <= limits.difference * self.scale
        return self.cosine >= limits.cosine and close


def agreement(reference: Floats, found: Floats) -> Agreement:
    """Compare arrays row by row.

    Args:
        reference: array of the engine; its first axis counts images.
        found: array of the export, of the same shape.
    """
    cosines, differences = _by_row(reference, found)
    scale = max(1.0, float(np.max(np.abs(reference))))
    return Agreement(float(np.min(cosines)), float(np.max(differences)), scale)


def worst(reference: Floats, found: Floats, limits: Limits) -> int:
    """Return the row that exceeds the limits most, whichever of them it is."""
    cosines, differences = _by_row(reference, found)
    # Both functions prefer NaN.
    if limits.difference is None or not np.min(cosines) >= limits.cosine:
        return int(np.argmin(cosines))
    return int(np.argmax(differences))


def _by_row(
    reference: Floats, found: Floats
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return cosine and largest difference of each row."""
    one = reference.reshape(len(reference), -1).astype(np.float64)
    other = found.reshape(len(found), -1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        # Rows of zeros have no direction; they agree if they are equal.
        same = np.array([np.array_equal(a, b) for a, b in zip(one, other)])
        cosines = np.where(same, 1.0, np.sum(one * other, axis=1) / np.where(lengths, lengths, 1))
        return cosines, np.max(np.abs(one - other), axis=1)


def first_mismatch(
    reference: Mapping[str, Floats], found: Mapping[str, Floats], limits: Limits
) -> tuple[str, Agreement] | None:
    """Return the first layer whose output exceeds the limits, and how close it is.

    Args:
        reference: outputs of the engine's layers, in order.
        found: outputs of the export's layers, without those that are merged into others.
        limits: limits, as for the embeddings.
    """
    for name, expected in reference.items():
        if name in found:
            there = agreement(expected, found[name])
            if not there.within(limits):
                return name, there
    return None
