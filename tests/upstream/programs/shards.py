"""The images that both iterators give to one machine, and to two; a program for the src folder.

    python shards.py DATA

Prints JSON: for each iterator, of two epochs, what they give "whole", with a batch of 6, and in
"parts" of 3, as lists of batches, which are lists of digests; null where an epoch ends. "later" is
the same from the second batch of the second epoch on, and "broken" the keys of the images of all of
it that a feed could not decode.
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
    return Feed(source, SeededOrder(source, SEED, Shard(*shard)), Settings(RECORDS, 2, 3))


def take(
    make: Callable[..., Any],
    size: int,
    shard: tuple[int, int],
    begin: tuple[int, int] | None = None,
) -> list[Any]:
    """Return the rest of two epochs."""
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
    broken.update(getattr(iterator, "broken", ()))
    return given


result: dict[str, Any] = {}
broken: set[int] = set()
make: Callable[..., Any]
for make in (functools.partial(SeededIter, seed=SEED), feed):
    try:
        split = {"whole": [(6, (0, 1))], "parts": [(3, (0, 2)), (3, (1, 2))]}
        result["feed" if make is feed else "iterator"] = {
            **{name: [take(make, *each) for each in of] for name, of in split.items()},
            "later": [take(make, *each, (1, 1)) for of in split.values() for each in of],
            "broken": sorted(broken),
        }
    except mx.MXNetError:
        pass  # Upstream's iterator ends where an image cannot be decoded.
sys.stdout.write("\n" + json.dumps(result) + "\n")
