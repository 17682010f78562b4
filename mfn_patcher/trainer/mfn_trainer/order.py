"""What is random in an epoch: the order of the images, mirroring, and the place of cut-outs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

MIRRORED, ROW, COLUMN = range(3)
"""What is drawn for an image: whether it is mirrored, and the middle of its cut-out."""


class Shard(NamedTuple):
    """The part of each batch that a worker trains on.

    Attributes:
        rank: number of the worker, from 0.
        workers: number of workers.
    """

    rank: int
    workers: int


WHOLE = Shard(0, 1)


class FaceImageIter(Protocol):
    """Upstream's iterator, which reads the index of a data set; what is used of it.

    Attributes:
        imgrec: MXNet's reader of the records, whose ``idx`` has their positions by key.
        imgidx: keys of the images.
        seq: the same in the order of the epoch; None for the order of the file.
        batch_size: number of images per batch.
        data_shape: channels, height and width of an image.
        rand_mirror: whether half of the images are mirrored.
        cutoff: side of a grey square in each image, in pixels; 0 for none.
        mean: what is subtracted from the pixels, shape (1, 1, 3); None for nothing.
        provide_data: name and shape of the images of a batch.
        provide_label: name and shape of the labels of a batch.
    """

    imgrec: Any
    imgidx: list[int]
    seq: list[int] | None
    batch_size: int
    data_shape: tuple[int, int, int]
    rand_mirror: bool
    cutoff: int
    mean: npt.NDArray[np.float32] | None
    provide_data: list[tuple[str, tuple[int, ...]]]
    provide_label: list[tuple[str, tuple[int, ...]]]

    def reset(self) -> None:
        """Begin an epoch."""


Keys = Sequence[int] | npt.NDArray[np.int64]


class Order(Protocol):
    """Draws what is random.

    Attributes:
        keys: keys of the records in the order of the epoch.
    """

    keys: Keys

    def reset(self) -> None:
        """Begin the next epoch."""

    def go_to(self, epoch: int) -> None:
        """Begin an epoch, counted from 0.

        Raises:
            ValueError: The order has no seed, so that epochs must follow one another.
        """

    def draw(self, place: int, what: int, high: int) -> int:
        """Draw a number from 0 to `high` for the image at a place of the epoch.

        Args:
            place: index into `keys`.
            what: `MIRRORED`, `ROW` or `COLUMN`.
            high: the largest number.
        """


class UpstreamOrder:
    """Draws from Python's generator, call for call as upstream's iterator does."""

    def __init__(self, source: FaceImageIter) -> None:
        self._source = source
        positions = source.imgrec.idx
        self.keys: Keys = (
            sorted(source.imgrec.keys, key=positions.__getitem__)
            if source.seq is None
            else source.seq
        )

    def reset(self) -> None:
        """Begin the next epoch."""
        self._source.reset()

    def go_to(self, epoch: int) -> None:
        """Refuse to skip an epoch."""
        raise ValueError("without a seed, epochs must follow one another")

    def draw(self, place: int, what: int, high: int) -> int:
        """Draw a number from 0 to `high`."""
        return random.randint(0, high)  # noqa: S311 (upstream's own calls)


class SeededOrder:
    """Draws an epoch at its start, from the seed and the number of the epoch alone.

    So any place in any epoch can be reached without reading what comes before it, and the workers
    of a cluster draw the same.
    """

    def __init__(self, source: FaceImageIter, seed: int, shard: Shard = WHOLE) -> None:
        self._source, self._seed, self._shard = source, seed, shard
        self._epoch = -1
        self.keys: Keys = source.imgidx
        self._drawn = np.empty((0, 3), dtype=np.int16)

    def reset(self) -> None:
        """Begin the next epoch."""
        print("call reset()")  # as upstream's iterator does
        self.go_to(self._epoch + 1)

    def go_to(self, epoch: int) -> None:
        """Begin an epoch, counted from 0."""
        self._epoch = epoch
        generator = np.random.RandomState([self._seed, epoch])
        _, height, width = self._source.data_shape
        keys = generator.permutation(self._source.imgidx)
        drawn = generator.randint(0, [2, height, width], (len(keys), 3), dtype=np.int16)
        rank, workers = self._shard
        if workers > 1:
            # The batch of all workers is split into one part for each. The epoch ends when too few
            # images are left for another.
            size = self._source.batch_size
            whole = len(keys) // (workers * size) * (workers * size)
            own = np.arange(whole).reshape((-1, workers, size))[:, rank].ravel()
            keys, drawn = keys[own], drawn[own]
        self.keys, self._drawn = keys, drawn

    def draw(self, place: int, what: int, high: int) -> int:
        """Return the number that was drawn."""
        return int(self._drawn[place, what])
