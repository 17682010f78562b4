"""The batches of the script's iterators, as digests: a program for the src folder.

    python batches.py DATA_DIR BATCH_SIZE < CASES

CASES is a JSON list of objects: keyword arguments of the iterator, and beside them "seed", "count",
how many batches to take, "python", what to seed Python's random with, "go_to", and "workers" of a
feed. Prints a JSON list: for each case the batches, and null where an epoch ends.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from typing import Any

sys.path.insert(0, ".")
from image_iter import FaceImageIter
from mfn_trainer.feed import Feed, Settings
from mfn_trainer.order import SeededOrder


def take(case: dict[str, Any], folder: str, batch_size: int) -> list[str | None]:
    """Return the digests of a case."""
    count, go_to = case.pop("count"), case.pop("go_to", None)
    seed, workers = case.pop("seed", None), case.pop("workers", 0)
    random.seed(case.pop("python", None))
    path = f"{folder}/train.rec"
    iterator: Any = FaceImageIter(
        batch_size=batch_size, data_shape=(3, 112, 112), path_imgrec=path, shuffle=True, **case
    )
    if seed is not None:
        iterator = Feed(iterator, SeededOrder(iterator, seed), Settings(path, workers, 2))
    if go_to:
        iterator.go_to(*go_to)
    digests: list[str | None] = []
    while len(digests) < count:
        try:
            batch = iterator.next()
        except StopIteration:
            iterator.reset()
            digests.append(None)
            continue
        arrays = [batch.data[0].asnumpy().tobytes(), batch.label[0].asnumpy().tobytes()]
        digests.append(hashlib.sha256(b"".join(arrays)).hexdigest())
    return digests


folder, batch_size = sys.argv[1], int(sys.argv[2])
cases = json.load(sys.stdin)
print("\n" + json.dumps([take(case, folder, batch_size) for case in cases]))
