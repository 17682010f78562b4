"""Checks of one verification set against what the training script does with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mfn_patcher.data.images import ImageProblem, load_image, spread
from mfn_patcher.data.verification_set import FOLDS, MINIMUM_PAIRS, VerificationSet
from mfn_patcher.finding import Finding, Level

_SAMPLE = 16  # images that are decoded
_AGAIN = "Copy or download the file again, or remove it to train without it."


def check_verification_set(name: str, pairs: VerificationSet) -> list[Finding]:
    """Check a verification set.

    Args:
        name: name of its file, for the findings.
        pairs: content of the file.

    Returns:
        What is wrong, or a single finding that says that nothing is.
    """
    findings = [
        *_check_counts(name, pairs),
        *_check_folds(name, pairs.same),
        *_check_images(name, pairs),
    ]
    detail = f"{len(pairs.images):,} images, {len(pairs.same):,} pairs"
    return findings or [Finding(Level.OK, name, detail)]


def _check_counts(name: str, pairs: VerificationSet) -> Iterator[Finding]:
    images, expected = len(pairs.images), 2 * len(pairs.same)
    detail = f"{images:,} images for {len(pairs.same):,} pairs, which need {expected:,}"
    if images < expected:
        yield Finding(Level.ERROR, name, detail, _AGAIN)
    elif images > expected:
        remedy = "The script ignores the images after these. If there should be none: " + _AGAIN
        yield Finding(Level.WARNING, name, detail, remedy)


def _check_folds(name: str, same: tuple[bool, ...]) -> Iterator[Finding]:
    if len(same) < FOLDS:
        detail = f"{len(same)} pairs are too few for the script's {FOLDS} folds"
        yield Finding(Level.ERROR, name, detail, f"Make a set of at least {MINIMUM_PAIRS} pairs.")
        return
    for number, fold in enumerate(np.array_split(np.asarray(same), FOLDS), start=1):
        if fold.all() or not fold.any():
            missing = "different identities" if fold.all() else "one identity"
            yield Finding(
                Level.ERROR,
                name,
                f"fold {number} of {FOLDS} has no pair of {missing}, and the script divides by "
                "their number",
                "Mix the pairs: a fold is a run of consecutive pairs in the file, so alternate "
                "pairs of one identity and of different identities.",
            )
            break


def _check_images(name: str, pairs: VerificationSet) -> Iterator[Finding]:
    """Check a sample of the images that the script loads; it requires every one of them."""
    used = pairs.images[: 2 * len(pairs.same)]
    empty = [key for key, image in enumerate(used) if not image]
    keys = sorted({*spread(len(used), _SAMPLE), *empty[:1]})
    loaded = {key: load_image(pairs.images[key]) for key in keys}
    problems = {key: img for key, img in loaded.items() if isinstance(img, ImageProblem)}
    if problems:
        key, problem = next(iter(problems.items()))
        detail = f"{len(problems)} of {len(keys)} sampled images are unusable; image {key} "
        yield Finding(Level.ERROR, name, detail + problem.text, problem.remedy)
