"""Upstream's iterator with the random numbers of a seed: what the batches of the feed must equal.

For programs in the src folder. Order, mirroring and cut-outs are drawn here by a formula of their
own; reading, decoding and all else is upstream's code.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import image_iter
import numpy as np


class SeededIter(image_iter.FaceImageIter):
    """Gives what a seed gives, or one worker's part of it."""

    def __init__(
        self, *arguments: Any, seed: int, shard: tuple[int, int] = (0, 1), **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.seed, self.shard, self.epoch = seed, shard, -1
        self.numbers: Iterator[Any] = iter(())
        image_iter.random = types.SimpleNamespace(randint=self.randint)

    def randint(self, low: int, high: int) -> int:
        """Return the next number of the image that was read last."""
        number = int(next(self.numbers))
        assert low <= number <= high
        return number

    def reset(self) -> None:
        print("call reset()")
        self.go_to(self.epoch + 1, 0)

    def go_to(self, epoch: int, batch: int) -> None:
        """Go to a batch of an epoch."""
        self.epoch, self.cur, self.is_init = epoch, batch * self.batch_size, True
        drawn = np.random.RandomState([self.seed, epoch])
        _, height, width = self.data_shape
        order = drawn.permutation(self.imgidx)
        draws = drawn.randint(0, [2, height, width], (len(order), 3), dtype=np.int16)
        which, shards = self.shard
        batches = len(order) // (shards * self.batch_size) if shards > 1 else None
        if batches is not None:
            places = [
                (batch * shards + which) * self.batch_size + image
                for batch in range(batches)
                for image in range(self.batch_size)
            ]
            order, draws = order[places], draws[places]
        self.seq, self.draws = order, draws

    def next_sample(self) -> Any:
        sample = super().next_sample()
        mirror, row, column = self.draws[self.cur - 1]
        self.numbers = iter(
            ([mirror] if self.rand_mirror else []) + ([row, column] if self.cutoff > 0 else [])
        )
        return sample
