"""The figures of embeddings with a known answer, by our program.

Run in the workspace's src folder: python planted.py. Prints JSON.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

import mxnet as mx
import numpy as np

from mfn_patcher.children.programs import evaluate
from mfn_patcher.trainer.mfn_trainer.verification import VerificationSet

PAIRS, LENGTH = 200, 3.0


class Planted:
    """Embeds images, whose pixels are their numbers, as planted."""

    def __init__(self, embeddings: Any) -> None:
        self.embeddings = embeddings

    def forward(self, batch: Any, is_train: bool) -> None:
        assert not is_train
        self.numbers = batch.data[0].asnumpy()[:, 0].astype(int)

    def get_outputs(self) -> list[Any]:
        return [mx.nd.array(self.embeddings[self.numbers])]


def plant() -> tuple[Any, list[bool]]:
    """Return embeddings of all images and their mirror images, and which pairs match.

    Added to its mirror's, the second embedding of a pair is at 0.5 rad from the first if they
    match, at 2 rad if not; but of ten matching pairs one is at 2.5 rad. Without its mirror's it
    is always at 1.25 rad.
    """
    same = [number % 2 == 0 for number in range(PAIRS)]
    plain: list[float] = []
    mirrored: list[float] = []
    for number, matches in enumerate(same):
        angle = (2.5 if number % 20 == 0 else 0.5) if matches else 2.0
        for angles, value in ((plain, 1.25), (mirrored, 2 * angle - 1.25)):
            angles += [0.0, value]
    turned = np.array(plain + mirrored)
    return LENGTH * np.stack([np.cos(turned), np.sin(turned)], axis=1), same


def main() -> None:
    embeddings, same = plant()
    images = mx.nd.arange(4 * PAIRS).reshape((-1, 1))
    pairs = VerificationSet("planted", (images[: 2 * PAIRS], images[2 * PAIRS :]), same)
    figures = evaluate.measure(pairs, Planted(embeddings), 64)
    assert math.isclose(2 - 2 * math.cos(0.5), 0.2448, abs_tol=1e-4)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
