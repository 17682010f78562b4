"""Advice on data sets that people made themselves, whose files are valid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mfn_patcher.data.record_layout import RecordLayout
from mfn_patcher.data.recordio import Index, Int64Array, RecordReader, unpack
from mfn_patcher.finding import Finding, Level

_MANY = 100_000  # images, beyond which reading all of them would take minutes
_SINGLE_SHARE = 0.1


def advise_on_identities(firsts: Int64Array, images: int) -> Iterator[Finding]:
    """Warn if many identities have a single image.

    Args:
        firsts: key of the first image of each identity.
        images: number of images, whose keys start at 1.
    """
    counts = np.diff(np.append(np.sort(firsts), images + 1))
    single = int(np.count_nonzero(counts == 1))
    if single > _SINGLE_SHARE * len(counts):
        yield Finding(
            Level.WARNING,
            "identities",
            f"{single:,} of {len(counts):,} identities have a single image, which does not show "
            "how a face varies",
            "Add images of these identities, or leave the identities out.",
        )


def digests_of(contents: Iterable[bytes]) -> set[bytes]:
    """Return digests of images, for `advise_on_shared_images`."""
    return {hashlib.blake2b(content, digest_size=16).digest() for content in contents}


def advise_on_shared_images(
    directory: Path, layout: RecordLayout, sets: Mapping[str, set[bytes]]
) -> Iterator[Finding]:
    """Warn if images of verification sets are trained on as well; large data sets are not read.

    Args:
        directory: directory of the data set, whose records have been checked.
        layout: which records are images.
        sets: digests of the images of each verification set, by file name.

    Raises:
        RecordIOError: A record is damaged.
        OSError: A file cannot be read.
    """
    if layout.images > _MANY or not any(sets.values()):
        return
    index = Index.read(directory / "train.idx")
    with RecordReader(directory / "train.rec") as reader:
        trained = digests_of(
            unpack(reader.read(int(position))).content for position in index.positions
        )
    for name, digests in sets.items():
        if shared := len(digests & trained):
            yield Finding(
                Level.WARNING,
                name,
                f"{shared:,} of {len(digests):,} images are also in train.rec, so the accuracy is "
                "higher than on images that were not trained on",
                "Remove these images, or better all images of these people, from train.rec.",
            )
