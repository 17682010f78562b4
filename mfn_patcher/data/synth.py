"""A small synthetic data set, in the layout that the training script reads.

It is for trying the whole way of training without the published data sets: its faces are
drawn, its numbers mean nothing for real ones.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfn_patcher.data import verification_set
from mfn_patcher.data.drawn_face import draw_identity, draw_image
from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.data.recordio import RecordWriter, pack
from mfn_patcher.errors import MfnPatchError

MINIMUM_PAIRS = 20
"""Two for each of the script's ten folds: a fold must hold a same and a different pair."""

# `property` comes last: without it a directory is no data set.
_FILES = ("train.rec", "train.idx", *(f"{name}.bin" for name in verification_set.NAMES), "property")
IMAGE_BYTES = 6200
"""Of a drawn image, about."""

_MOST_KEYS = 1 << 24  # the labels of a record are float32
_STAGING = ".mfn-patch-synth"

# How far heads turn in each verification set, relative to training: profiles are harder.
_SPREAD = {"lfw": 1.0, "cfp_fp": 2.0, "agedb_30": 1.5}

# The first word of every random seed after the user's: training, then the verification sets.
_TRAINING = 0


class SynthesisError(MfnPatchError):
    """The synthetic data set can't be made as asked."""


@dataclass(frozen=True)
class SyntheticDataSet:
    """What `synthesise` wrote.

    Attributes:
        directory: Where.
        identities: Identities of the training images; the verification sets use others.
        images: Training images, of all identities.
        pairs: Pairs in each verification set, half of them of one identity.
        files: The files, in `directory`.
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
    seed: int = 0,
    on_image: Callable[[], None] = lambda: None,
) -> SyntheticDataSet:
    """Write a synthetic data set; equal arguments write equal bytes.

    Args:
        directory: Empty, missing, or without a data set of its own. A run that was killed
            leaves a directory in it, which the next run takes away.
        identities: Identities of the training images.
        images_per_identity: Training images of each.
        pairs: Pairs in each verification set.
        seed: Decides all faces.
        on_image: Called after each of `count_images` images.

    Returns:
        What was written.

    Raises:
        SynthesisError: A number is too small or too large, there is no room, or the directory
            holds such files already.
    """
    for name, value, least in (
        ("identities", identities, 1),
        ("images per identity", images_per_identity, 1),
        ("pairs", pairs, MINIMUM_PAIRS),
        ("seed", seed, 0),
    ):
        if value < least:
            raise SynthesisError(f"{name}: {value} is too small", remedy=f"Give {least} or more.")
    images = count_images(identities, images_per_identity, pairs)
    if identities * images_per_identity + identities + 1 > _MOST_KEYS:
        raise SynthesisError(
            f"{identities:,} identities of {images_per_identity:,} images are too many: a record "
            f"file holds its keys as float32, which is exact up to {_MOST_KEYS:,}",
            remedy="Give fewer --identities or --images-per-identity.",
        )
    with _staging(directory) as staging:
        free = shutil.disk_usage(staging).free
        if images * IMAGE_BYTES > free:
            raise SynthesisError(
                f"{images:,} images take about {images * IMAGE_BYTES / 1e9:,.1f} GB, and there are "
                f"{free / 1e9:,.1f} GB free in {directory}",
                remedy="Give fewer --identities or --images-per-identity, or another directory.",
            )
        _write_training(staging, identities, images_per_identity, seed, on_image)
        for number, name in enumerate(verification_set.NAMES, start=1):
            _write_verification(staging / f"{name}.bin", pairs, seed, number, on_image)
        (staging / "property").write_text(
            f"{identities},{IMAGE_SIDE},{IMAGE_SIDE}\n", encoding="ascii"
        )
    return SyntheticDataSet(
        directory=directory,
        identities=identities,
        images=identities * images_per_identity,
        pairs=pairs,
        files=tuple(directory / name for name in _FILES),
    )


def count_images(identities: int, images_per_identity: int, pairs: int) -> int:
    """Return how many images `synthesise` draws, for a progress bar."""
    return identities * images_per_identity + 2 * pairs * len(verification_set.NAMES)


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
    # Same and different take turns, so that any two neighbours hold both.
    same = [pair % 2 == 0 for pair in range(pairs)]
    images = []
    for image in range(2 * pairs):
        # Every pair has faces of its own: one, or two where they differ.
        identity = image - image % 2 if same[image // 2] else image
        face = draw_identity(np.random.default_rng([seed, number, identity]))
        rng = np.random.default_rng([seed, number, identity, 1 + image])
        images.append(draw_image(face, rng, spread=_SPREAD[path.stem]))
        on_image()
    verification_set.write_verification_set(path, images, same)


@contextmanager
def _staging(directory: Path) -> Iterator[Path]:
    """Give a directory to write in; move its files up when all are there, or take it away."""
    staging = directory / _STAGING
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _discard(directory)
        present = [name for name in _FILES if os.path.lexists(directory / name)]
        if present:
            raise SynthesisError(
                f"{directory} already holds {', '.join(present)}; nothing is overwritten",
                remedy="Give an empty directory or a new one.",
            )
        try:
            staging.mkdir()
            yield staging
            for name in _FILES:
                _publish(staging / name, directory / name)
        except BaseException:
            _discard(directory)
            raise
        shutil.rmtree(staging)
    except OSError as error:
        raise SynthesisError(
            f"can't write a data set to {directory}: {error.strerror}",
            remedy="Give a directory that can be written to, with room for the data set.",
        ) from error


def _publish(source: Path, target: Path) -> None:
    try:
        # A link never overwrites, and later tells this file from anybody else's.
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        source.rename(target)  # a file system without links


def _discard(directory: Path) -> None:
    """Take away what an unfinished run left, and nothing else."""
    staging = directory / _STAGING
    if not staging.is_dir():
        return
    for name in _FILES:
        with suppress(FileNotFoundError):
            if (staging / name).samefile(directory / name):
                (directory / name).unlink()
    shutil.rmtree(staging)
