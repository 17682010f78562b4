"""Checks of a sample of the training images: whether they can be decoded, and their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mfn_patcher.data.images import ImageProblem, load_image, spread
from mfn_patcher.data.record_layout import RecordLayout
from mfn_patcher.data.recordio import (
    COPY_AGAIN,
    Index,
    Int64Array,
    RecordIOError,
    RecordReader,
    unpack,
)
from mfn_patcher.finding import Finding, Level

_LABELS = 256  # images whose labels are read; the script only sees each label when it trains on it
_CHECK = "images"


def check_images(
    reader: RecordReader,
    index: Index,
    layout: RecordLayout,
    *,
    firsts: Int64Array | None,
    classes: int | None,
    sample: int,
) -> Iterator[Finding]:
    """Check a sample of the images and labels of a record file.

    Args:
        reader: the record file.
        index: its index.
        layout: which of its records are images.
        firsts: key of the first image of each identity record, int64 of shape (identities,); None
            to skip the comparison of labels and identities.
        classes: number of classes according to ``property``; None if unknown.
        sample: how many images to decode.
    """
    keys = index.keys if layout.identities is None else range(1, 1 + layout.images)
    decoded = {int(keys[number]) for number in spread(layout.images, sample)}
    labeled = {int(keys[number]) for number in spread(layout.images, _LABELS)}
    problems: dict[int, ImageProblem] = {}
    labels: dict[int, float] = {}
    for key in sorted(decoded | labeled):
        position = index.position(key)
        if position is None:
            continue  # the check of the index has reported it
        try:
            record = unpack(reader.read(position))
        except RecordIOError as error:
            yield Finding(Level.ERROR, _CHECK, f"record {key} cannot be read: {error}", COPY_AGAIN)
            return
        labels[key] = record.labels[0]
        if key in decoded:
            img = load_image(record.content)
            if isinstance(img, ImageProblem):
                problems[key] = img
    mislabeled = list(_judge_labels(labels, layout.identities, classes))
    findings = [*_judge_images(problems, len(decoded)), *mislabeled]
    yield from findings
    if firsts is not None and not mislabeled:
        yield from _compare_with_identities(labels, firsts)
    if not findings:
        detail = f"{len(decoded)} of {layout.images:,} sampled: decoding, size and label are right"
        yield Finding(Level.OK, _CHECK, detail)


def _judge_images(problems: Mapping[int, ImageProblem], sampled: int) -> Iterator[Finding]:
    undecodable = {key: problem for key, problem in problems.items() if problem.undecodable}
    others = {key: problem for key, problem in problems.items() if not problem.undecodable}
    for found in (undecodable, others):
        if not found:
            continue
        key, problem = next(iter(found.items()))
        detail = (
            f"{len(found)} of {sampled} sampled images are unusable; image {key} {problem.text}"
        )
        if found is undecodable and len(found) < sampled:
            remedy = f"Training replaces each by the next image. {problem.remedy}"
            yield Finding(Level.WARNING, _CHECK, detail, remedy)
        else:
            yield Finding(Level.ERROR, _CHECK, detail, problem.remedy)


def _judge_labels(
    labels: Mapping[int, float], identities: int | None, classes: int | None
) -> Iterator[Finding]:
    wrong = [key for key, label in labels.items() if not _is_class(label, classes)]
    if not wrong:
        return
    known = "" if classes is None else f" (0 to {classes - 1})"
    remedy = f"Labels must be integers from 0 to the number of classes in property minus 1{known}."
    if all(label.is_integer() and label >= 0 for label in labels.values()):
        lowest, highest = int(min(labels.values())), int(max(labels.values()))
        if lowest > 0 and highest == classes:
            remedy = (
                f"Labels must start at 0, but these start at {lowest}: subtract {lowest} from each "
                "and pack the data set again."
            )
        else:
            enough = max(highest + 1, identities or 0)
            remedy = (
                f"If the labels are right, write {enough} as the number of classes in property."
            )
    yield Finding(
        Level.ERROR,
        _CHECK,
        f"{len(wrong)} of {len(labels)} sampled images have a label that is not a class{known}; "
        f"image {wrong[0]} has {labels[wrong[0]]:g}",
        remedy,
    )


def _compare_with_identities(labels: Mapping[int, float], firsts: Int64Array) -> Iterator[Finding]:
    moved = [key for key, label in labels.items() if label != _identity(key, firsts)]
    if moved:
        yield Finding(
            Level.WARNING,
            _CHECK,
            f"{len(moved)} of {len(labels)} sampled images have a label other than the number of "
            f"their identity, the first is image {moved[0]}",
            "The classes may be in another order. If this is not intended: " + COPY_AGAIN,
        )


def _is_class(label: float, classes: int | None) -> bool:
    return label.is_integer() and 0 <= label < (classes or np.inf)


def _identity(key: int, firsts: Int64Array) -> int:
    """Return the number of the identity record whose range contains an image."""
    return int(np.argmax(np.where(firsts <= key, firsts, 0)))
