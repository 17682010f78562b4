"""One of two workers of the engine's key-value store; runs on the engine.

Prints a JSON object: the sums of arrays of several sizes and layouts, as their first, middle and
last numbers, and the error that worker 0 gets when worker 1 is gone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import mxnet as mx
import numpy as np
import torch

ANSWER: dict[str, Any] = {}


def array(shape: tuple[int, ...], *, channels_last: bool = False) -> Any:
    """Return 0, 1, 2, ... of worker 0, and ten times as much of worker 1."""
    numbers = np.arange(np.prod(shape), dtype="float32").reshape(shape) * 10**store.rank
    made = mx.nd.array(numbers)
    if channels_last:
        made = mx.nd.NDArray(made.tensor.to(memory_format=torch.channels_last))
    return made


def tell(name: str, *arrays: Any) -> None:
    """Add numbers of arrays to the answer."""
    flat = [each.asnumpy().ravel() for each in arrays]
    ANSWER[name] = [[float(each[0]), float(each[len(each) // 2]), float(each[-1])] for each in flat]


store = mx.kv.create("dist_sync")
ANSWER["workers"] = [store.rank, store.num_workers, store.type]
# The second and the last are too large to be sent together with others.
arrays = [
    array((3,)),
    array((600_000,)),
    array((4, 3, 2, 2), channels_last=True),
    array((2, 2)),
    array((300, 300, 2, 2), channels_last=True),
]
store.init("a", arrays[0])
store.pushpull(list("abcde"), arrays)
tell("sums of several keys", *arrays)
given, out = array((5,)), mx.nd.zeros((5,))
store.pushpull("f", given, out=out)
tell("sum of one key", given, out)

begun = time.monotonic()
time.sleep(1.0 * store.rank)
store._barrier()
ANSWER["waited"] = time.monotonic() - begun >= 0.9

if store.rank == 0:
    try:
        store._barrier()
    except mx.MXNetError as error:
        ANSWER["error"] = str(error)
sys.stdout.write("\n" + json.dumps(ANSWER) + "\n")
sys.stdout.flush()
# As a worker that fails ends.
os._exit(0)
