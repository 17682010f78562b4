"""Which records of a record file are images and which are identities, as record 0 says."""

from __future__ import annotations

from dataclasses import dataclass

from mfn_patcher.data.recordio import Index, RecordIOError, RecordReader, unpack

_MOST = 1 << 31  # more records than any data set has


@dataclass(frozen=True)
class RecordLayout:
    """The records of a file: record 0, then the images, then the identity records.

    Attributes:
        images: number of images.
        identities: number of identity records; None if record 0 is itself an image, as all
            records then are.
    """

    images: int
    identities: int | None

    @property
    def records(self) -> int:
        """Number of records, whose keys start at 0; meaningless if `identities` is None."""
        return 1 + self.images + (self.identities or 0)


def read_layout(reader: RecordReader, index: Index) -> RecordLayout:
    """Read record 0 as the training script does.

    Raises:
        RecordIOError: There is no record 0, or its labels are invalid.
    """
    position = index.position(0)
    if position is None:
        raise RecordIOError(
            f"the index has no record 0, which the script reads first; its keys start at "
            f"{index.keys[0]}",
            remedy="Pack the data set with keys from 0 on: the first column of the list for im2rec "
            "must start at 0.",
        )
    header = unpack(reader.read(position))
    if header.flag == 0:
        return RecordLayout(len(index.keys), None)
    if header.content:
        raise RecordIOError(
            f"record 0 is an image with {header.flag} labels, which the script reads as the range "
            "of the identity records",
            remedy="Pack the data set with one label per image: im2rec without --pack-label.",
        )
    if header.flag == 1 or not all(label.is_integer() for label in header.labels):
        raise RecordIOError(f"record 0 has labels {header.labels}, not two integers")
    first, end = (int(label) for label in header.labels[:2])
    if not 1 < first < end <= _MOST:
        raise RecordIOError(f"record 0 puts the identity records at {first} to {end}")
    return RecordLayout(first - 1, end - first)
