"""Checks of one verification set against what the training script does with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mfn_patcher.dataset.images import sampled_image_problems, spread
from mfn_patcher.dataset.verification_set import VerificationSet
from mfn_patcher.finding import Finding, Level

FOLDS = 10
"""The script's cross-validation: contiguous folds, in the order of the file."""


def check_verification_set(
    name: str, pairs: VerificationSet, size: tuple[int, int], samples: int
) -> list[Finding]:
    """Check a verification set.

    Args:
        name: Its file's, for the findings.
        pairs: What the file holds.
        size: Width and height that images must have, in pixels.
        samples: How many images to decode.

    Returns:
        Errors, or else one finding that all is well.
    """
    sample = ((f"image {key}", pairs.images[key]) for key in spread(len(pairs.images), samples))
    problems = [
        *_counts(pairs),
        *_folds(pairs.same),
        *sampled_image_problems(sample, size),
    ]
    if not problems:
        detail = f"{len(pairs.images):,} images, {len(pairs.same):,} pairs"
        return [Finding(Level.OK, name, detail)]
    remedy = "Get the file again from where it came; or take it away to train without it."
    return [Finding(Level.ERROR, name, problem, remedy) for problem in problems]


def _counts(pairs: VerificationSet) -> Iterator[str]:
    images, expected = len(pairs.images), 2 * len(pairs.same)
    if images != expected:
        odd = "an odd number, " if images % 2 else ""
        yield f"{images:,} images, {odd}for {len(pairs.same):,} pairs, which need {expected:,}"


def _folds(same: tuple[bool, ...]) -> Iterator[str]:
    if len(same) < FOLDS:
        yield f"{len(same)} pairs are too few for the script's {FOLDS} folds"
        return
    for number, fold in enumerate(np.array_split(np.asarray(same), FOLDS), start=1):
        if fold.all() or not fold.any():
            kind = "different" if fold.all() else "same"
            yield f"no {kind} pair in fold {number} of {FOLDS}: the script divides by their number"
            break
