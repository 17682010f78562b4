"""How much faster our verification is than upstream's: the ten folds, and loading a set.

    python benchmarks/verification_time.py

The baseline is upstream's `eval/verification.py`. Both are timed in turn, and their figures and
pixels must be equal. The interpreter needs MXNet.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from turns import make_workspace, milliseconds, print_table, seconds, take_turns

from mfn_patcher.data.synth import synthesise
from mfn_patcher.data.verification_set import read_verification_set, write_verification_set
from mfn_patcher.trainer.mfn_trainer import protocol, verification

PAIRS, SIZE, ROUNDS = 6000, 128, 5


def compare(title: str, before: Callable[[], Any], after: Callable[[], Any]) -> list[Any]:
    """Print how long both take; return what they returned."""
    returned: dict[str, Any] = {}

    def contender(name: str, call: Callable[[], Any]) -> Callable[[], float]:
        def go() -> float:
            returned.pop(name, None)
            with contextlib.redirect_stdout(io.StringIO()):
                return seconds(lambda: returned.update({name: call()}))

        return go

    calls = {"ours": after, "upstream": before}
    took = take_turns({name: contender(name, call) for name, call in calls.items()}, ROUNDS)
    print_table(
        f"{title}, median of {ROUNDS}",
        ("verification", "time", "ratio"),
        [
            (name, milliseconds(value), f"{value / took['ours']:.1f}")
            for name, value in took.items()
        ],
    )
    return [returned["upstream"], returned["ours"]]


def main() -> None:
    """Patch a workspace, measure both, and print the figures."""
    drawn = np.random.RandomState(0)
    embeddings = drawn.randn(2 * PAIRS, SIZE)
    embeddings[1::2] += embeddings[::2] * (np.arange(PAIRS) % 2)[:, None]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    same = (np.arange(PAIRS) % 2 == 1).tolist()
    with tempfile.TemporaryDirectory() as place:
        workspace = make_workspace(Path(place))
        sys.path.insert(0, str(workspace / "src" / "eval"))
        upstream = importlib.import_module("verification")
        figures = compare(
            f"Ten folds of {PAIRS:,} pairs",
            lambda: upstream.evaluate(embeddings, same),
            lambda: protocol.measure(embeddings, same),
        )
        (tpr, fpr, accuracies, tar, std, far), (curve, rate) = figures
        assert np.array_equal(tpr, curve.tpr)
        assert np.array_equal(fpr, curve.fpr)
        assert np.array_equal(accuracies, curve.accuracies)
        assert (tar, std, far) == rate

        data = Path(place, "data")
        synthesise(data, identities=1, images_per_identity=1, pairs=500)
        path = data / "lfw.bin"
        images = read_verification_set(path).images
        write_verification_set(path, images * 2, [True] * len(images))
        kilobytes = path.stat().st_size / len(images) / 2000
        loaded = compare(
            f"Loading {len(images):,} pairs of images of {kilobytes:.0f} KB",
            lambda: upstream.load_bin(str(path), [112, 112]),
            lambda: verification.load(str(path), [112, 112]),
        )
        for one, other in zip(loaded[0][0], loaded[1].images):
            assert (one == other).asnumpy().all()


if __name__ == "__main__":
    main()
