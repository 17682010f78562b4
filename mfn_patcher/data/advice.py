"""Advice on data sets that people made themselves, whose files are valid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mfn_patcher.data.record_layout import RecordLayout
from mfn_patcher.data.recordio import Index, Int64Array, RecordReader, unpack
from mfn_patcher.finding import Finding, Level

_MANY = 100_000  # images, beyond which reading all of them would take minutes
FEW = 5
"""Images per identity below which more are advised.

There is no sharp limit. Published work on training sets with a long tail of such identities usually
leaves them out (https://arxiv.org/abs/1611.08976).
"""
_TOLERATED = 0.1  # share of such identities that public data sets also have
_NAMED = 3  # identities named in a message


def advise_on_identities(
    firsts: Int64Array, images: int, names: Sequence[str]
) -> Iterator[Finding]:
    """Say how many identities have a single image or few; warn if they are many.

    Args:
        firsts: key of the first image of each identity.
        images: number of images, whose keys start at 1.
        names: names of the identities, in the order of their images; empty if unknown.
    """
    counts = np.diff(np.append(np.sort(firsts), images + 1))
    few = np.flatnonzero(counts < FEW)
    if not few.size:
        return
    single = int(np.count_nonzero(counts == 1))
    examples = [names[place] for place in few[:_NAMED]] if names else []
    more = ["..."] if len(examples) < few.size else []
    named = f" ({', '.join(examples + more)})" if examples else ""
    verb = "has" if few.size == 1 else "have"
    detail = f"{few.size:,} of {counts.size:,} identities {verb} "
    no_pair = "cannot form a pair of the same person"
    if single == few.size:
        detail += f"a single image{named}, which shows nothing of how a face varies and {no_pair}"
    else:
        detail += f"fewer than {FEW} images{named}, which show little of how a face varies"
    if 0 < single < few.size:
        verb = "has" if single == 1 else "have"
        detail += (
            f"; {single:,} of them {verb} a single image, which shows nothing of it and {no_pair}"
        )
    if few.size <= _TOLERATED * counts.size:
        yield Finding(Level.OK, "identities", detail)
        return
    remedy = f"Add images until each of them has {FEW} or more, or leave these identities out."
    yield Finding(Level.WARNING, "identities", detail, remedy)


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
