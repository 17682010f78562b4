"""Checks of ``train.rec`` and ``train.idx`` against what the training script reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfn_patcher.dataset.images import sampled_image_problems, spread
from mfn_patcher.dataset.recordio import Index, Int64Array, RecordIOError, RecordReader, unpack
from mfn_patcher.finding import Finding, Level

_AGAIN = "Copy or download train.rec and train.idx again, both from one source."


@dataclass(frozen=True)
class Layout:
    """Which records are what, as record 0 says.

    Attributes:
        images: Number of images.
        identities: Number of identity records; None where record 0 is a plain image, and all
            records are.
    """

    images: int
    identities: int | None

    @property
    def records(self) -> int:
        """Number of records, which have the keys from 0 on; not for a plain layout."""
        return 1 + self.images + (self.identities or 0)


def read_layout(reader: RecordReader, index: Index) -> Layout:
    """Read record 0 as the training script does.

    Raises:
        RecordIOError: There is none, or its labels make no sense.
    """
    position = index.position(0)
    if position is None:
        raise RecordIOError("the index has no record 0")
    header = unpack(reader.read(position))
    if header.flag == 0:
        return Layout(len(index.keys), None)
    if header.flag == 1 or not all(label.is_integer() for label in header.labels):
        raise RecordIOError(f"record 0 has labels {header.labels}, not two integers")
    first, end = (int(label) for label in header.labels[:2])
    if not 1 < first < end:
        raise RecordIOError(f"record 0 puts the identity records at {first} to {end}")
    return Layout(first - 1, end - first)


def check_records(
    directory: Path, classes: int | None, size: tuple[int, int], samples: int
) -> tuple[Layout | None, list[Finding]]:
    """Check the record file, its index and a sample of its images.

    Args:
        directory: Of the data set.
        classes: Number of classes that ``property`` gives, if known.
        size: Width and height that images must have, in pixels.
        samples: How many images to decode.

    Returns:
        The layout, or None if it can't be known, and the findings.
    """
    layout = None
    findings: list[Finding] = []
    try:
        index = Index.read(directory / "train.idx")
        with RecordReader(directory / "train.rec") as reader:
            findings += _check_index(index, reader)
            layout = read_layout(reader, index)
            firsts = None
            if layout.identities is None:
                findings.append(
                    _warning(
                        "train.rec",
                        "record 0 names no identities: the script takes every record for an "
                        f"image, all {layout.images:,}",
                        "Make sure that the file holds images alone.",
                    )
                )
            else:
                findings += _check_keys(index, layout)
                findings += _check_classes(layout.identities, classes)
                firsts, finding = _check_identities(reader, index, layout)
                findings.append(finding)
            findings += _check_images(
                reader, index, layout, firsts=firsts, classes=classes, size=size, samples=samples
            )
    except RecordIOError as error:
        findings.append(_error("train.rec", str(error)))
    except OSError as error:
        findings.append(_error("train.rec", f"can't be read: {error.strerror}"))
    return layout, findings


def _error(check: str, detail: str, remedy: str = _AGAIN) -> Finding:
    return Finding(Level.ERROR, check, detail, remedy)


def _warning(check: str, detail: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, check, detail, remedy)


def _check_index(index: Index, reader: RecordReader) -> Iterator[Finding]:
    problems = []
    repeated = index.keys[1:][np.diff(index.keys) == 0]
    if repeated.size:
        problems.append(f"key {repeated[0]} stands there more than once")
    if np.any(index.positions % 4):
        problems.append("a position is no multiple of 4")
    outside = np.count_nonzero((index.positions < 0) | (index.positions >= reader.size))
    if outside:
        problems.append(
            f"{outside:,} of {len(index.keys):,} records lie outside of train.rec, "
            f"which has {reader.size:,} bytes: it is cut short, or the index is another file's"
        )
    elif not problems:
        last = int(index.positions.max())
        try:
            reader.read(last)
        except RecordIOError as error:
            problems.append(f"the last record can't be read: {error}")
        else:
            behind = reader.size - reader.tell()
            if behind:
                problems.append(
                    f"train.rec goes on for {behind:,} bytes behind the last record: "
                    "the index is cut short, or another file's"
                )
    for problem in problems:
        yield _error("train.idx", problem)
    if not problems:
        yield Finding(
            Level.OK,
            "train.idx",
            f"{len(index.keys):,} records, the last of which ends where train.rec does",
        )


def _check_keys(index: Index, layout: Layout) -> Iterator[Finding]:
    keys = np.unique(index.keys)
    used = keys[(keys >= 0) & (keys < layout.records)]
    if len(used) < layout.records:
        gaps = np.flatnonzero(used != np.arange(len(used)))
        first = gaps[0] if gaps.size else len(used)
        yield _error(
            "train.idx",
            f"{layout.records - len(used):,} of {layout.records:,} keys are missing, "
            f"the first is {first}",
        )
    if len(used) < len(keys):
        yield _warning(
            "train.idx",
            f"{len(keys) - len(used):,} records are neither image nor identity by record 0",
            "The script leaves them out; make sure that this is meant so.",
        )


def _check_classes(identities: int, classes: int | None) -> Iterator[Finding]:
    if classes is not None and classes != identities:
        yield _error(
            "property",
            f"{classes:,} classes, but train.rec has {identities:,} identities",
            f"Write {identities} for the number of classes.",
        )


def _check_identities(
    reader: RecordReader, index: Index, layout: Layout
) -> tuple[Int64Array | None, Finding]:
    """Read all identity records; give their first images if the ranges tile all images."""
    ranges = []
    for key in range(1 + layout.images, layout.records):
        position = index.position(key)
        if position is None:
            return None, _error("identities", f"record {key} is missing")
        try:
            record = unpack(reader.read(position))
        except RecordIOError as error:
            return None, _error("identities", f"record {key} can't be read: {error}")
        if record.flag <= 1:
            return None, _error("identities", f"record {key} is no identity: it has one label")
        ranges.append(record.labels[:2])
    first, end = np.asarray(ranges).T
    order = np.argsort(first, kind="stable")
    images = f"images 1 to {layout.images:,}"
    seams = np.append(first[order], 1 + layout.images) == np.append(1, end[order])
    if np.all(seams) and np.all(first < end):
        detail = f"{len(ranges):,}, whose ranges tile {images}"
        return first.astype(np.int64), Finding(Level.OK, "identities", detail)
    return None, _warning(
        "identities",
        f"an identity is empty, or ranges overlap or leave gaps in {images}",
        "The script trains by each image's own label. If this isn't meant so: " + _AGAIN,
    )


def _check_images(
    reader: RecordReader,
    index: Index,
    layout: Layout,
    *,
    firsts: Int64Array | None,
    classes: int | None,
    size: tuple[int, int],
    samples: int,
) -> Iterator[Finding]:
    keys = index.keys if layout.identities is None else range(1, 1 + layout.images)
    sample = {}
    for key in (int(keys[number]) for number in spread(layout.images, samples)):
        position = index.position(key)
        if position is None:
            continue  # a finding already
        try:
            sample[key] = unpack(reader.read(position))
        except RecordIOError as error:
            yield _error("images", f"image {key} can't be read: {error}")
            return
    problems = list(
        sampled_image_problems(
            ((f"image {key}", record.content) for key, record in sample.items()), size
        )
    )
    labels = {key: record.labels[0] for key, record in sample.items()}
    wrong = [key for key, label in labels.items() if not _is_class(label, classes)]
    if wrong:
        problems.append(
            f"{len(wrong)} of {len(labels)} sampled images have a label that is no class; "
            f"image {wrong[0]} has {labels[wrong[0]]:g}"
        )
    for problem in problems:
        yield _error("images", problem)
    if firsts is not None:
        moved = [key for key, label in labels.items() if label != _identity(key, firsts)]
        if moved:
            yield _warning(
                "images",
                f"{len(moved)} of {len(labels)} sampled images have a label other than the "
                f"number of their identity, the first is image {moved[0]}",
                "The classes may be in another order. If this isn't meant so: " + _AGAIN,
            )
    if not problems:
        yield Finding(
            Level.OK, "images", f"{len(sample)} sampled of {layout.images:,}: size, colour, label"
        )


def _is_class(label: float, classes: int | None) -> bool:
    return label.is_integer() and 0 <= label < (classes or np.inf)


def _identity(key: int, firsts: Int64Array) -> int:
    """Return the number of the identity record whose range holds an image."""
    return int(np.argmax(np.where(firsts <= key, firsts, 0)))
