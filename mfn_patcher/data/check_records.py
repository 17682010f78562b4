"""Checks of ``train.rec`` and ``train.idx`` against what the training script reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfn_patcher.data.images import ImageProblem, load_image, spread
from mfn_patcher.data.recordio import (
    COPY_AGAIN,
    Index,
    Int64Array,
    RecordIOError,
    RecordReader,
    unpack,
)
from mfn_patcher.finding import Finding, Level

_MOST = 1 << 31
"""Number of records that no data set comes near."""
_LABELS = 256
"""Number of images whose labels are looked at; the script looks at each as it comes."""


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
        raise RecordIOError(
            f"the index has no record 0, which the script reads first; its keys start at "
            f"{index.keys[0]}",
            remedy="Pack the data set with keys from 0 on: the first column of a list for im2rec "
            "must start at 0.",
        )
    header = unpack(reader.read(position))
    if header.flag == 0:
        return Layout(len(index.keys), None)
    if header.content:
        raise RecordIOError(
            f"record 0 is an image with {header.flag} labels, which the script takes for numbers "
            "of identity records",
            remedy="Pack the data set with one label an image: im2rec without --pack-label.",
        )
    if header.flag == 1 or not all(label.is_integer() for label in header.labels):
        raise RecordIOError(f"record 0 has labels {header.labels}, not two integers")
    first, end = (int(label) for label in header.labels[:2])
    if not 1 < first < end <= _MOST:
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
        # Where the index is wrong, that is why.
        if all(finding.level is not Level.ERROR for finding in findings):
            findings.append(_error("train.rec", str(error), error.remedy))
    except OSError as error:
        findings.append(_error("train.rec", f"can't be read: {error.strerror}"))
    return layout, findings


def _error(check: str, detail: str, remedy: str = COPY_AGAIN) -> Finding:
    return Finding(Level.ERROR, check, detail, remedy)


def _warning(check: str, detail: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, check, detail, remedy)


def _check_index(index: Index, reader: RecordReader) -> Iterator[Finding]:
    repeated = index.keys[1:][np.diff(index.keys) == 0]
    if repeated.size:
        yield _warning(
            "train.idx",
            f"key {repeated[0]} appears more than once; the script reads the last of its records",
            "If each key should appear once: " + COPY_AGAIN,
        )
    outside = np.count_nonzero((index.positions < 0) | (index.positions >= reader.size))
    if outside:
        yield _error(
            "train.idx",
            f"{outside:,} of {len(index.keys):,} records lie outside train.rec, "
            f"which has {reader.size:,} bytes: it is cut short, or the index is another file's",
        )
    elif np.any(index.positions % 4):
        yield _error("train.idx", "a position is not a multiple of 4")
    else:
        yield _check_end(index, reader)


def _check_end(index: Index, reader: RecordReader) -> Finding:
    """Check that the last record ends where the record file does."""
    try:
        reader.read(int(index.positions.max()))
    except RecordIOError as error:
        return _error("train.idx", f"the last record can't be read: {error}")
    behind = reader.size - reader.tell()
    if behind:
        return _warning(
            "train.idx",
            f"train.rec continues for {behind:,} bytes after the last record of the index",
            "The script never reads them. If it should: " + COPY_AGAIN,
        )
    detail = f"{len(index.keys):,} records, the last of which ends where train.rec does"
    return Finding(Level.OK, "train.idx", detail)


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
    # What counts are the labels, which are checked apart.
    if classes is not None and classes != identities:
        yield _warning(
            "property",
            f"{classes:,} classes, but train.rec has {identities:,} identity records",
            f"The script trains by each image's own label, from 0 to {classes - 1}. If each of "
            f"these records should have a class, write {identities} for the number of classes.",
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
        if record.content:
            return None, _error("identities", f"record {key} is no identity: it holds an image")
        if not np.isfinite(record.labels[:2]).all():
            return None, _error("identities", f"record {key} has labels {record.labels[:2]}")
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
        "The script trains by each image's own label. If this isn't meant so: " + COPY_AGAIN,
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
    chosen = {int(keys[number]) for number in spread(layout.images, samples)}
    problems: dict[int, ImageProblem] = {}
    labels: dict[int, float] = {}
    for key in sorted(chosen | {int(keys[number]) for number in spread(layout.images, _LABELS)}):
        position = index.position(key)
        if position is None:
            continue  # a finding already
        try:
            record = unpack(reader.read(position))
        except RecordIOError as error:
            yield _error("images", f"record {key} can't be read: {error}")
            return
        labels[key] = record.labels[0]
        if key in chosen:
            img = load_image(record.content, size)
            if isinstance(img, ImageProblem):
                problems[key] = img
    mislabeled = list(_judge_labels(labels, layout.identities, classes))
    findings = [*_judge_images(problems, len(chosen)), *mislabeled]
    yield from findings
    if firsts is not None and not mislabeled:
        moved = [key for key, label in labels.items() if label != _identity(key, firsts)]
        if moved:
            yield _warning(
                "images",
                f"{len(moved)} of {len(labels)} sampled images have a label other than the "
                f"number of their identity, the first is image {moved[0]}",
                "The classes may be in another order. If this isn't meant so: " + COPY_AGAIN,
            )
    if not findings:
        detail = f"{len(chosen)} sampled of {layout.images:,}: decoded, size, label"
        yield Finding(Level.OK, "images", detail)


def _judge_images(problems: Mapping[int, ImageProblem], sampled: int) -> Iterator[Finding]:
    skipped = {key: problem for key, problem in problems.items() if problem.undecodable}
    for found in (skipped, {k: p for k, p in problems.items() if not p.undecodable}):
        for key, problem in found.items():
            detail = f"{len(found)} of {sampled} sampled images are unusable; image {key} "
            if found is skipped and len(found) < sampled:
                remedy = f"Training skips images that can't be decoded. {problem.remedy}"
                yield _warning("images", detail + problem.text, remedy)
            else:
                yield _error("images", detail + problem.text, problem.remedy)
            break


def _judge_labels(
    labels: Mapping[int, float], identities: int | None, classes: int | None
) -> Iterator[Finding]:
    wrong = [key for key, label in labels.items() if not _is_class(label, classes)]
    if not wrong:
        return
    last = "" if classes is None else f" (0 to {classes - 1})"
    remedy = f"Labels must be integers from 0 on, below the number of classes in property{last}."
    if all(label.is_integer() and label >= 0 for label in labels.values()):
        lowest, highest = int(min(labels.values())), int(max(labels.values()))
        if lowest > 0 and highest == classes:
            remedy = (
                f"Labels start at 0, and these at {lowest}: pack them anew, each less {lowest}."
            )
        else:
            enough = max(highest + 1, identities or 0)
            remedy = (
                f"If the labels are right, write {enough} for the number of classes in property."
            )
    yield _error(
        "images",
        f"{len(wrong)} of {len(labels)} sampled images have a label that is no class{last}; "
        f"image {wrong[0]} has {labels[wrong[0]]:g}",
        remedy,
    )


def _is_class(label: float, classes: int | None) -> bool:
    return label.is_integer() and 0 <= label < (classes or np.inf)


def _identity(key: int, firsts: Int64Array) -> int:
    """Return the number of the identity record whose range holds an image."""
    return int(np.argmax(np.where(firsts <= key, firsts, 0)))
