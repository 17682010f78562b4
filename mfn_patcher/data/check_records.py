"""Checks of ``train.rec`` and ``train.idx`` against what the training script reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mfn_patcher.data.advice import advise_on_identities
from mfn_patcher.data.check_images import check_images
from mfn_patcher.data.making.training_files import identity_names
from mfn_patcher.data.record_layout import RecordLayout, read_layout
from mfn_patcher.data.recordio import (
    COPY_AGAIN,
    Index,
    Int64Array,
    RecordIOError,
    RecordReader,
    unpack,
)
from mfn_patcher.finding import Finding, Level


def check_records(
    directory: Path, classes: int | None, sample: int
) -> tuple[RecordLayout | None, list[Finding]]:
    """Check the record file, its index and a sample of its images.

    Args:
        directory: directory of the data set.
        classes: number of classes according to ``property``; None if unknown.
        sample: how many images to decode.

    Returns:
        The layout, or None if it is unknown; and the findings.
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
                findings.append(_images_only(layout))
            else:
                findings += _check_keys(index, layout)
                findings += _check_classes(layout.identities, classes)
                firsts, finding = _check_identities(reader, index, layout)
                findings.append(finding)
            if firsts is not None:
                names = identity_names(directory, len(firsts))
                findings += advise_on_identities(firsts, layout.images, names)
            findings += check_images(
                reader, index, layout, firsts=firsts, classes=classes, sample=sample
            )
    except RecordIOError as error:
        # An error of the index explains this one.
        if all(finding.level is not Level.ERROR for finding in findings):
            findings.append(_error("train.rec", str(error), error.remedy))
    except OSError as error:
        name = Path(error.filename or "train.rec").name
        remedy = "Check its owner and permissions."
        findings.append(_error(name, f"cannot be read: {error.strerror}", remedy))
    return layout, findings


def _error(check: str, detail: str, remedy: str = COPY_AGAIN) -> Finding:
    return Finding(Level.ERROR, check, detail, remedy)


def _warning(check: str, detail: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, check, detail, remedy)


def _images_only(layout: RecordLayout) -> Finding:
    return _warning(
        "train.rec",
        f"record 0 lists no identity records: the script reads all {layout.images:,} records as "
        "images",
        "Make sure that the file contains only images.",
    )


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
            f"{outside:,} of {len(index.keys):,} records lie outside train.rec, which has "
            f"{reader.size:,} bytes: it is truncated, or the index belongs to another file",
        )
    elif np.any(index.positions % 4):
        yield _error("train.idx", "a record position is not a multiple of 4")
    else:
        yield _check_end(index, reader)


def _check_end(index: Index, reader: RecordReader) -> Finding:
    """Check that the last record ends at the end of the record file."""
    try:
        _, end = reader.read_to_end(int(index.positions.max()))
    except RecordIOError as error:
        return _error("train.idx", f"the last record cannot be read: {error}")
    behind = reader.size - end
    if behind:
        return _warning(
            "train.idx",
            f"train.rec continues for {behind:,} bytes after the last record of the index",
            "The script never reads them. If it should: " + COPY_AGAIN,
        )
    detail = f"{len(index.keys):,} records; the last one ends at the end of train.rec"
    return Finding(Level.OK, "train.idx", detail)


def _check_keys(index: Index, layout: RecordLayout) -> Iterator[Finding]:
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
            f"{len(keys) - len(used):,} records are neither images nor identities according to "
            "record 0",
            "The script skips them; make sure that this is intended.",
        )


def _check_classes(identities: int, classes: int | None) -> Iterator[Finding]:
    # Only a warning: training depends on the labels, which are checked separately.
    if classes is not None and classes != identities:
        yield _warning(
            "property",
            f"{classes:,} classes, but train.rec has {identities:,} identity records",
            f"The script uses each image's own label, from 0 to {classes - 1}. If every identity "
            f"record should be a class, write {identities} as the number of classes.",
        )


def _check_identities(
    reader: RecordReader, index: Index, layout: RecordLayout
) -> tuple[Int64Array | None, Finding]:
    """Read all identity records; return their first images if the ranges cover all images."""
    ranges = []
    for key in range(1 + layout.images, layout.records):
        position = index.position(key)
        if position is None:
            return None, _error("identities", f"record {key} is missing")
        try:
            record = unpack(reader.read(position))
        except RecordIOError as error:
            return None, _error("identities", f"record {key} cannot be read: {error}")
        if record.flag <= 1:
            return None, _not_an_identity(key, "it has one label")
        if record.content:
            return None, _not_an_identity(key, "it contains an image")
        if not np.isfinite(record.labels[:2]).all():
            return None, _error("identities", f"record {key} has labels {record.labels[:2]}")
        ranges.append(record.labels[:2])
    first, end = np.asarray(ranges).T
    order = np.argsort(first, kind="stable")
    images = f"images 1 to {layout.images:,}"
    seams = np.append(first[order], 1 + layout.images) == np.append(1, end[order])
    if np.all(seams) and np.all(first < end):
        detail = f"{len(ranges):,} identities, which cover {images} without gaps or overlaps"
        return first.astype(np.int64), Finding(Level.OK, "identities", detail)
    return None, _warning(
        "identities",
        f"an identity is empty, or the ranges overlap or leave gaps in {images}",
        "The script uses each image's own label. If this is not intended: " + COPY_AGAIN,
    )


def _not_an_identity(key: int, why: str) -> Finding:
    return _error("identities", f"record {key} is not an identity record: {why}")
