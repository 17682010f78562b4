"""Verification by upstream's code and by ours; a program for the src folder.

    python both_verifications.py SETS...

SETS are .bin files. Prints JSON: for each case, what either computes, floating-point numbers as
hexadecimal text; and whether the images are equal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

sys.path[:0] = [".", "eval"]

import mxnet as mx
import numpy as np
import verification as theirs
from mfn_trainer import protocol
from mfn_trainer import verification as ours


def cases() -> Iterator[tuple[Any, ...]]:
    """Yield name, embeddings, same or not, and options of evaluate()."""
    drawn = np.random.RandomState(7)

    def embed(pairs: int, size: int = 16) -> tuple[Any, Any]:
        same = drawn.rand(pairs) < 0.5
        first = drawn.randn(pairs, size)
        second = np.where(same[:, None], first, 0) + drawn.randn(pairs, size)
        both = np.stack([first, second], 1).reshape(2 * pairs, size)
        return both / np.linalg.norm(both, axis=1, keepdims=True), same

    def distant(distances: Any) -> Any:
        embeddings = np.zeros((2 * len(distances), 1))
        embeddings[1::2, 0] = distances
        return embeddings

    embeddings, same = embed(600)
    yield "random", embeddings, same.tolist(), {}
    yield "numbers for truth", embeddings, same.astype(int) * 2, {}
    yield "single precision", embeddings.astype(np.float32), same, {}
    yield "more pairs than answers", embeddings, same[:500], {}
    for folds in (0, 1, 2, 3, 7, 601):
        yield f"{folds} folds", embeddings, same, {"nrof_folds": folds}
    # Squares of eighths are exact, and many of them are thresholds.
    yield "ties", distant(drawn.randint(0, 17, 600) / 8), same, {}
    yield "ties of tenths", distant(np.sqrt(drawn.randint(0, 40, 600) / 10)), same, {}
    single = distant(np.sqrt(drawn.randint(0, 40, 600) / 10)).astype(np.float32)
    yield "ties in single precision", single, same, {}
    yield "all one distance", distant(np.ones(600)), same, {}
    yield "all at no distance", distant(np.zeros(600)), same, {}
    spoiled = embeddings.copy()
    spoiled[10] = spoiled[501] = np.nan
    spoiled[700] = np.inf
    yield "not finite", spoiled, same, {}
    yield "nothing finite", np.full((1200, 4), np.nan), same, {}
    yield "same only", embeddings, np.ones(600, bool), {}
    yield "different only", embeddings, np.zeros(600, bool), {}
    yield "one fold of same only", embeddings, np.arange(600) >= 60, {}
    yield "halves", embeddings, np.arange(600) >= 300, {"nrof_folds": 2}


def evaluate(embeddings: Any, same: Any, nrof_folds: int = 10) -> tuple[Any, ...]:
    """Return what upstream's evaluate() returns."""
    curve, rate = protocol.measure(embeddings, same, nrof_folds)
    return curve.tpr, curve.fpr, curve.accuracies, rate.tar, rate.std, rate.far


def outcome(
    function: Callable[..., Any], embeddings: Any, same: Any, options: dict[str, Any]
) -> Any:
    """Return what it returns, or the name of what it raises."""
    try:
        figures = function(embeddings, same, **options)
    except Exception as error:
        return type(error).__name__
    return [[float(x).hex() for x in np.atleast_1d(figure)] for figure in figures]


functions = (theirs.evaluate, evaluate)
result: dict[str, Any] = {
    name: [outcome(each, *case) for each in functions] for name, *case in cases()
}
result["images"] = []
for path in sys.argv[1:]:
    arrays, same = theirs.load_bin(path, [112, 112])
    pairs = ours.load(path, [112, 112])
    result["images"] += [
        bool(same == pairs.same),
        all(isinstance(array, mx.nd.NDArray) for array in pairs.images),
        *(
            (a.dtype == b.dtype) and bool((a.asnumpy() == b.asnumpy()).all())
            for a, b in zip(arrays, pairs.images)
        ),
    ]
sys.stdout.write("\n" + json.dumps(result) + "\n")
