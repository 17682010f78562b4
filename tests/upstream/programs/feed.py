"""The batches of upstream's iterator and of the feed; a program for the src folder.

    python feed.py DATA SIZE BROKEN [COUNT]

DATA is a data set, SIZE the number of images in a batch, and BROKEN the key of a record that is no
image, or 0 for none. COUNT references fewer than there are is what the interpreter counts; then
only cases with everything that is random are run. Prints JSON: for each case, digests of what
either iterator gives.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, ".")

counts_differently = len(sys.argv) > 4
if counts_differently:
    counted = sys.getrefcount
    # There is one more while this function has it.
    sys.getrefcount = lambda each: counted(each) - 1 - int(sys.argv[4])

import image_iter
import mxnet as mx
import numpy as np
from image_iter import FaceImageIter
from mfn_trainer.feed import Feed, Settings
from mfn_trainer.order import SeededOrder, UpstreamOrder
from seeded import SeededIter

records = sys.argv[1] + "/train.rec"
size, broken = map(int, sys.argv[2:4])


class Replacing(FaceImageIter):
    """Takes the next image in place of the broken one, which ends MXNet 1.9.1."""

    def next_sample(self) -> Any:
        sample = super().next_sample()
        if self.seq[self.cur - 1] != broken:
            return sample
        following = self.seq[self.cur % len(self.seq)]
        header, content = mx.recordio.unpack(self.imgrec.read_idx(int(following)))
        return header.label, content, None, None


class ReplacingIter(Replacing):
    """Upstream's iterator."""


class ReplacingSeededIter(Replacing, SeededIter):
    """The same with a seed."""


def reference(seed: int | None, **options: Any) -> Any:
    """Return upstream's iterator."""
    image_iter.random = random
    if seed is None:
        return (ReplacingIter if broken else FaceImageIter)(**options)
    return (ReplacingSeededIter if broken else SeededIter)(seed=seed, **options)


def feed(seed: int | None, workers: int, prefetch: int, **options: Any) -> Any:
    """Return a feed."""
    image_iter.random = random
    source = FaceImageIter(**options)
    order = UpstreamOrder(source) if seed is None else SeededOrder(source, seed)
    return Feed(source, order, Settings(records, workers, prefetch))


def outcome(make: Callable[..., Any], **options: Any) -> list[Any]:
    """Return the digests, for random numbers that begin as ever."""
    random.seed(5)
    np.random.seed(5)
    iterator = make(batch_size=size, data_shape=(3, 112, 112), path_imgrec=records, **options)
    given = epochs(iterator)
    assert not isinstance(iterator, Feed) or iterator.broken == ({broken} if broken else set())
    return given


def epochs(iterator: Any) -> list[Any]:
    """Return what two epochs give."""
    given: list[Any] = []
    for _ in range(2):
        taken: list[Any] = []
        while True:
            try:
                taken.append(iterator.next())
            except StopIteration:
                break
        # Looked at late, so that memory which is used again too early is seen.
        for batch in taken:
            pixels, labels = batch.data[0], batch.label[0]
            kind = [pixels.shape, pixels.dtype.__name__, labels.shape, labels.dtype.__name__]
            content = pixels.asnumpy().tobytes() + labels.asnumpy().tobytes()
            given.append([kind, batch.pad, hashlib.sha256(content).hexdigest()])
        given.append("end")
        iterator.reset()
    # Whoever draws next, draws the same.
    return [*given, random.random()]


result = {}
flat = not hasattr(FaceImageIter(1, (3, 112, 112), path_imgrec=records), "header0")
for shuffle, mirror, cutoff, mean, seed in itertools.product(
    [True, False], [0, 1], [0, 20], [None, [127.5, 100.25, 3.0]], [None, 3]
):
    options: dict[str, Any] = {
        "shuffle": shuffle,
        "rand_mirror": mirror,
        "cutoff": cutoff,
        "mean": mean,
        "seed": seed,
    }
    if not shuffle and seed is None and not flat:
        continue  # Upstream reads the records that tell of identities too, and fails.
    if counts_differently and not (shuffle and mirror and cutoff):
        continue  # What is drawn at random does not matter for when memory is used again.
    expected = outcome(reference, **options)
    got = []
    for workers, prefetch in ((0, 1), (1, 1), (3, 4)):
        got.append(outcome(feed, workers=workers, prefetch=prefetch, **options))
    result[str(options)] = [expected, *got]
sys.stdout.write("\n" + json.dumps(result) + "\n")
