"""Checks of one verification set against what the training script does with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mfn_patcher.data.images import ImageProblem, load_image, spread
from mfn_patcher.data.verification_set import VerificationSet
from mfn_patcher.finding import Finding, Level

FOLDS = 10
"""The script's cross-validation: contiguous folds, in the order of the file."""


_AGAIN = "Get the file again from where it came; or take it away to train without it."


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
        What is wrong, or else one finding that all is well.
    """
    findings = [
        *_counts(name, pairs),
        *_folds(name, pairs.same),
        *_images(name, pairs, size, samples),
    ]
    detail = f"{len(pairs.images):,} images, {len(pairs.same):,} pairs"
    return findings or [Finding(Level.OK, name, detail)]


def _counts(name: str, pairs: VerificationSet) -> Iterator[Finding]:
    images, expected = len(pairs.images), 2 * len(pairs.same)
    detail = f"{images:,} images for {len(pairs.same):,} pairs, which need {expected:,}"
    if images < expected:
        yield Finding(Level.ERROR, name, detail, _AGAIN)
    elif images > expected:
        remedy = "The script leaves out the images behind these. If there should be none: " + _AGAIN
        yield Finding(Level.WARNING, name, detail, remedy)


def _folds(name: str, same: tuple[bool, ...]) -> Iterator[Finding]:
    if len(same) < FOLDS:
        detail = f"{len(same)} pairs are too few for the script's {FOLDS} folds"
        yield Finding(Level.ERROR, name, detail, f"Make a set of at least {2 * FOLDS} pairs.")
        return
    for number, fold in enumerate(np.array_split(np.asarray(same), FOLDS), start=1):
        if fold.all() or not fold.any():
            kind = "different" if fold.all() else "same"
            yield Finding(
                Level.ERROR,
                name,
                f"no {kind} pair in fold {number} of {FOLDS}: the script divides by their number",
                "Mix the pairs: a fold is a run of neighbours in the file, so write pairs of one "
                "person and of two in turn.",
            )
            break


def _images(
    name: str, pairs: VerificationSet, size: tuple[int, int], samples: int
) -> Iterator[Finding]:
    """Check a sample of the images that the script loads; it needs every one of them."""
    used = pairs.images[: 2 * len(pairs.same)]
    empty = [key for key, image in enumerate(used) if not image]
    keys = sorted({*spread(len(used), samples), *empty[:1]})
    loaded = {key: load_image(pairs.images[key], size) for key in keys}
    problems = {key: img for key, img in loaded.items() if isinstance(img, ImageProblem)}
    for key, problem in problems.items():
        detail = f"{len(problems)} of {len(keys)} sampled images are unusable; image {key} "
        yield Finding(Level.ERROR, name, detail + problem.text, problem.remedy)
        break
