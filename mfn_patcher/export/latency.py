"""How long an exported network takes for an image on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.export.images import proof_images
from mfn_patcher.export.runtime import load, running

_WARM_UP = 5
_REST = 0.02  # seconds

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


def measure(models: Sequence[Path], threads: int, runs: int) -> list[Latency]:
    """Time networks in turns, so that what else the machine does slows down all alike.

    Args:
        models: Files from exports.
        threads: To compute with.
        runs: Embeddings to time, of each.

    Raises:
        ModelFileError: One can't be run.
        RuntimeMissingError: Its runtime is missing.
    """
    networks = [load(model, threads) for model in models]
    images = proof_images(None)[0]
    taken: list[list[float]] = [[] for _ in networks]
    for number in range(_WARM_UP + runs):
        image = images[number % len(images)][None]
        for model, network, times in zip(models, networks, taken):
            with running(model):
                if len(models) > 1:
                    # For a while, the threads of the one before spin on the cores of this one's.
                    time.sleep(_REST)
                    network.embed(image)
                start = time.perf_counter()
                network.embed(image)
                times.append(1000 * (time.perf_counter() - start))
    return [
        Latency(network.name, threads, runs, statistics.median(timed), min(timed))
        for network, timed in zip(networks, (times[_WARM_UP:] for times in taken))
    ]
