"""The images that both iterators give to one machine, and to two; a program for the src folder.

    python shards.py DATA

Prints JSON: for each iterator, of two epochs, what they give "whole", with a batch of 6, and in
"parts" of 3, as lists of batches, which are lists of digests; null where an epoch ends. "later" is
the same parts from the second batch of the second epoch on. "skipped" is what a feed has counted.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, ".")

import mxnet as mx
from image_iter import FaceImageIter
from mfn_trainer.feed import Feed, Settings
from mfn_trainer.order import SeededOrder, Shard
from seeded import SeededIter

RECORDS, SEED = sys.argv[1] + "/train.rec", 3


def feed(size: int, shape: tuple[int, ...], shard: tuple[int, int], **options: Any) -> Any:
    """Return a feed."""
    source = FaceImageIter(size, shape, **options)
    settings = Settings(RECORDS, workers=2, prefetch=3, replace=shard[1] > 1)
    return Feed(source, SeededOrder(source, SEED, Shard(*shard)), settings)


def take(
    make: Callable[..., Any],
    size: int,
    shard: tuple[int, int],
    begin: tuple[int, int] | None = None,
) -> tuple[list[Any], int]:
    """Return the rest of two epochs, and how much of them was skipped."""
    options = {"path_imgrec": RECORDS, "shuffle": True, "rand_mirror": True, "cutoff": 20}
    iterator = make(size, (3, 112, 112), shard=shard, **options)
    if begin:
        iterator.go_to(*begin)
    given: list[Any] = []
    while given.count(None) < (1 if begin else 2):
        try:
            batch = iterator.next()
        except StopIteration:
            given.append(None)
            iterator.reset()
            continue
        images = zip(batch.data[0].asnumpy(), batch.label[0].asnumpy())
        given.append([hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest() for a, b in images])
    return given, getattr(iterator, "skipped", 0)


result: dict[str, Any] = {}
make: Callable[..., Any]
for make in (functools.partial(SeededIter, seed=SEED), feed):
    try:
        both = [(0, 2), (1, 2)]
        parts = [take(make, 3, shard) for shard in both]
        result["feed" if make is feed else "iterator"] = {
            "whole": take(make, 6, (0, 1))[0],
            "parts": [given for given, _ in parts],
            "later": [take(make, 3, shard, (1, 1))[0] for shard in both],
            "skipped": [skipped for _, skipped in parts],
        }
    except mx.MXNetError:
        pass  # Upstream's iterator ends where an image cannot be decoded.
sys.stdout.write("\n" + json.dumps(result) + "\n")
