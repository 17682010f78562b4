from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mfn_patcher.trainer.mfn_trainer.order import (
    COLUMN,
    MIRRORED,
    ROW,
    SeededOrder,
    Shard,
    UpstreamOrder,
)

IMAGES, BATCH = 23, 4


@dataclass
class Records:
    """Positions of records, those of an index in another order than the file."""

    idx: dict[int, int] = field(
        default_factory=lambda: {key: 100 - key for key in range(1, IMAGES + 1)}
    )

    @property
    def keys(self) -> list[int]:
        return list(self.idx)


@dataclass
class Source:
    """What is used of upstream's iterator."""

    imgrec: Any = field(default_factory=Records)
    imgidx: list[int] = field(default_factory=lambda: list(range(1, IMAGES + 1)))
    seq: list[int] | None = None
    batch_size: int = BATCH
    data_shape: tuple[int, int, int] = (3, 8, 6)
    rand_mirror: bool = True
    cutoff: int = 2
    mean: npt.NDArray[np.float32] | None = None
    provide_data: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    provide_label: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def reset(self) -> None:
        if self.seq is not None:
            random.shuffle(self.seq)


def epoch(order: SeededOrder) -> list[tuple[int, ...]]:
    """Return key and draws of each image of the epoch."""
    kinds = ((MIRRORED, 1), (ROW, 7), (COLUMN, 5))
    return [
        (int(key), *(order.draw(place, what, high) for what, high in kinds))
        for place, key in enumerate(order.keys)
    ]


def test_an_epoch_depends_on_seed_and_number_alone() -> None:
    first, second = SeededOrder(Source(), 7), SeededOrder(Source(), 7)
    first.reset()
    first.reset()
    second.go_to(1)
    assert epoch(first) == epoch(second)
    second.go_to(0)
    assert epoch(first) != epoch(second)
    other = SeededOrder(Source(), 8)
    other.go_to(1)
    assert epoch(first) != epoch(other)


def test_draws_are_within_the_image() -> None:
    order = SeededOrder(Source(), 7)
    drawn: list[tuple[int, ...]] = []
    for number in range(50):
        order.go_to(number)
        assert sorted(np.asarray(order.keys).tolist()) == list(range(1, IMAGES + 1))
        drawn += epoch(order)
    _, mirrored, rows, columns = map(set, zip(*drawn))
    assert (mirrored, rows, columns) == ({0, 1}, set(range(8)), set(range(6)))


def test_shards_are_parts_of_each_batch() -> None:
    whole = SeededOrder(Source(batch_size=3 * BATCH), 7)
    parts = [SeededOrder(Source(), 7, Shard(rank, 3)) for rank in range(3)]
    for each in (whole, *parts):
        each.reset()
    shares = [epoch(part) for part in parts]
    assert {len(share) for share in shares} == {BATCH}
    assert [image for share in shares for image in share] == epoch(whole)[: 3 * BATCH]


def test_without_a_seed_the_order_is_upstreams() -> None:
    source, expected = Source(seq=list(range(1, IMAGES + 1))), list(range(1, IMAGES + 1))
    order = UpstreamOrder(source)
    random.seed(5)
    random.shuffle(expected)
    numbers = [random.randint(0, 1), random.randint(0, 7)]
    random.seed(5)
    order.reset()
    assert list(order.keys) == expected
    assert [order.draw(0, MIRRORED, 1), order.draw(0, ROW, 7)] == numbers
    with pytest.raises(ValueError, match="without a seed"):
        order.go_to(1)


def test_without_shuffling_records_come_as_in_the_file() -> None:
    assert list(UpstreamOrder(Source()).keys) == list(range(IMAGES, 0, -1))
