"""A small synthetic data set, in the layout that the training script reads.

It makes it possible to try the whole training run without the published data sets. Its faces are
synthetic, so accuracies on it say nothing about real faces.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfn_patcher.data.drawn_face import draw_identity, draw_image
from mfn_patcher.data.property_file import write_property
from mfn_patcher.data.recordio import MOST_KEYS, RecordWriter, pack
from mfn_patcher.data.staging import staged
from mfn_patcher.data.verification_set import MINIMUM_PAIRS, NAMES, write_verification_set
from mfn_patcher.errors import MfnPatchError

IMAGE_BYTES = 6200
"""Approximate size of a drawn image."""

# How far heads turn in each verification set, relative to training; cfp_fp contains profiles.
_SPREAD = {"lfw": 1.0, "cfp_fp": 2.0, "agedb_30": 1.5}

# The second word of every random seed, after the user's: 0 for training, then a number for each
# verification set.
_TRAINING = 0


class SynthesisError(MfnPatchError):
    """The synthetic data set cannot be made as requested."""


@dataclass(frozen=True)
class SyntheticDataSet:
    """A data set that `synthesise` wrote.

    Attributes:
        directory: directory of the data set.
        identities: number of training identities; the verification sets use others.
        images: number of training images of all identities.
        pairs: number of pairs in each verification set, half of them of one identity.
        files: paths of the files in `directory`.
    """

    directory: Path
    identities: int
    images: int
    pairs: int
    files: tuple[Path, ...]


def synthesise(
    directory: Path,
    *,
    identities: int = 20,
    images_per_identity: int = 20,
    pairs: int = MINIMUM_PAIRS,
    sets: Collection[str] = NAMES,
    seed: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> SyntheticDataSet:
    """Write a synthetic data set; the same arguments always write the same bytes.

    Args:
        directory: where to write. It may be missing, and must not contain a data set. A run that
            was killed leaves a temporary directory in it, which the next run removes.
        identities: number of training identities.
        images_per_identity: number of training images of each identity.
        pairs: number of pairs in each verification set.
        sets: names of the verification sets to draw, which are most of the images of a small data
            set.
        seed: random seed, which determines all faces.
        on_image: function that is called after each of `count_images` images.

    Raises:
        SynthesisError: A number is too small or too large, the disk is too full, or the directory
            already contains a data set.
    """
    _check_numbers(identities, images_per_identity, pairs, seed)
    # `property` comes last: without it, a directory is not a data set.
    files = ("train.rec", "train.idx", *(f"{name}.bin" for name in sets), "property")
    with staged(directory, files, SynthesisError) as staging:
        images = count_images(identities, images_per_identity, pairs, sets)
        _check_room(staging, directory, images)
        _write_training(staging, identities, images_per_identity, seed, on_image)
        for number, name in enumerate(NAMES, start=1):
            if name in sets:
                _write_verification(staging / f"{name}.bin", pairs, seed, number, on_image)
        write_property(staging, identities)
    return SyntheticDataSet(
        directory=directory,
        identities=identities,
        images=identities * images_per_identity,
        pairs=pairs,
        files=tuple(directory / name for name in files),
    )


def count_images(
    identities: int,
    images_per_identity: int,
    pairs: int = MINIMUM_PAIRS,
    sets: Collection[str] = NAMES,
) -> int:
    """Return how many images `synthesise` draws, for a progress bar."""
    return identities * images_per_identity + 2 * pairs * len(sets)


def _check_numbers(identities: int, images_per_identity: int, pairs: int, seed: int) -> None:
    for name, value, least in (
        ("identities", identities, 1),
        ("images per identity", images_per_identity, 1),
        ("pairs", pairs, MINIMUM_PAIRS),
        ("seed", seed, 0),
    ):
        if value < least:
            raise SynthesisError(f"{name}: {value} is too small", remedy=f"Give {least} or more.")
    if identities * images_per_identity + identities + 1 > MOST_KEYS:
        raise SynthesisError(
            f"{identities:,} identities of {images_per_identity:,} images are too many: a record "
            f"file stores its keys as float32, which is exact up to {MOST_KEYS:,}",
            remedy="Give fewer --identities or --images-per-identity.",
        )


def _check_room(staging: Path, directory: Path, images: int) -> None:
    free = shutil.disk_usage(staging).free
    if images * IMAGE_BYTES > free:
        raise SynthesisError(
            f"{images:,} images take about {images * IMAGE_BYTES / 1e6:,.0f} MB, but "
            f"{directory} has only {free / 1e6:,.0f} MB free",
            remedy="Give fewer --identities or --images-per-identity, or another directory.",
        )


def _write_training(
    directory: Path,
    identities: int,
    images_per_identity: int,
    seed: int,
    on_image: Callable[[], None],
) -> None:
    images = identities * images_per_identity
    with RecordWriter(directory / "train.rec", directory / "train.idx") as writer:
        writer.write(0, pack([images + 1, images + 1 + identities], 0))
        key = 1
        for identity in range(identities):
            face = draw_identity(np.random.default_rng([seed, _TRAINING, identity]))
            for number in range(images_per_identity):
                rng = np.random.default_rng([seed, _TRAINING, identity, 1 + number])
                writer.write(key, pack(identity, key, draw_image(face, rng)))
                key += 1
                on_image()
        for first in range(1, images + 1, images_per_identity):
            writer.write(key, pack([first, first + images_per_identity], key))
            key += 1


def _write_verification(
    path: Path, pairs: int, seed: int, number: int, on_image: Callable[[], None]
) -> None:
    # Pairs of one and of two identities alternate, so that any two neighbours include both.
    same = [pair % 2 == 0 for pair in range(pairs)]
    images = []
    for image in range(2 * pairs):
        # No face appears in two pairs: each pair draws one new face, or two if they differ.
        identity = image - image % 2 if same[image // 2] else image
        face = draw_identity(np.random.default_rng([seed, number, identity]))
        rng = np.random.default_rng([seed, number, identity, 1 + image])
        images.append(draw_image(face, rng, spread=_SPREAD[path.stem]))
        on_image()
    write_verification_set(path, images, same)
