"""Whether an exported network computes what the engine does, and where they part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mfn_patcher.children.programs.runtimes import Floats


@dataclass(frozen=True)
class Limits:
    """What an export must keep.

    Attributes:
        cosine: Least of an embedding with the engine's.
        difference: Largest of a component; None for any. It is relative to the engine's largest
            component where that is above 1: float32 holds seven digits.
    """

    cosine: float
    difference: float | None


SINGLE = Limits(cosine=0.999999, difference=1e-5)
HALF = Limits(cosine=0.9999, difference=None)


@dataclass(frozen=True)
class Agreement:
    """How near two arrays of equal shape are.

    Attributes:
        cosine: Least over the rows.
        difference: Largest over all numbers.
        scale: What the difference is relative to: the largest number of the reference, or 1.
    """

    cosine: float
    difference: float
    scale: float

    def within(self, limits: Limits) -> bool:
        """Return whether it keeps the limits; what is not finite never does."""
        near = limits.difference is None or self.difference <= limits.difference * self.scale
        return self.cosine >= limits.cosine and near


def agreement(reference: Floats, found: Floats) -> Agreement:
    """Compare arrays row by row.

    Args:
        reference: The engine's; the first axis counts images.
        found: Of the same shape.
    """
    cosines, differences = _by_row(reference, found)
    scale = max(1.0, float(np.max(np.abs(reference))))
    return Agreement(float(np.min(cosines)), float(np.max(differences)), scale)


def worst(reference: Floats, found: Floats, limits: Limits) -> int:
    """Return the row that is furthest out of the limits, whichever of them that is."""
    cosines, differences = _by_row(reference, found)
    # Both prefer what is not a number.
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
        # Rows of zeros have no direction: they agree if they are equal.
        same = np.array([np.array_equal(a, b) for a, b in zip(one, other)])
        cosines = np.where(same, 1.0, np.sum(one * other, axis=1) / np.where(lengths, lengths, 1))
        return cosines, np.max(np.abs(one - other), axis=1)


def parting(
    reference: Mapping[str, Floats], found: Mapping[str, Floats], limits: Limits
) -> tuple[str, Agreement] | None:
    """Return the first layer whose output is out of the limits, and how far.

    Args:
        reference: The engine's layers, in order.
        found: The export's; those it has merged into others are missing.
        limits: As for the embeddings.
    """
    for name, expected in reference.items():
        if name in found:
            there = agreement(expected, found[name])
            if not there.within(limits):
                return name, there
    return None
