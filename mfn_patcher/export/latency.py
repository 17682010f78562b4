"""How long an exported network takes for an image on this machine."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.export.images import proof_images
from mfn_patcher.export.runtime import OnnxModel

_WARM_UP = 5

REFERENCE = "the MobileFaceNet paper (arXiv 1804.07573) states 24 ms on a Snapdragon 820"
"""For orientation; of another machine and runtime."""


@dataclass(frozen=True)
class Latency:
    """Of one image at a time.

    Attributes:
        runtime: What ran the network.
        threads: That it computed with.
        runs: That were timed, after some to warm up.
        median: Milliseconds.
        fastest: Milliseconds; what else the machine did slowed this one down least.
    """

    runtime: str
    threads: int
    runs: int
    median: float
    fastest: float


def measure(model: Path, threads: int, runs: int) -> Latency:
    """Time a network.

    Args:
        model: An ``.onnx`` file from an export.
        threads: To compute with.
        runs: Embeddings to time.

    Raises:
        ModelFileError: The model can't be run.
        RuntimeMissingError: Its runtime is missing.
    """
    network = OnnxModel(model, threads)
    images = proof_images(None)[0]
    taken = []
    for number in range(_WARM_UP + runs):
        image = images[number % len(images)][None]
        start = time.perf_counter()
        network.embed(image)
        taken.append(1000 * (time.perf_counter() - start))
    timed = taken[_WARM_UP:]
    return Latency(network.name, threads, runs, statistics.median(timed), min(timed))
