"""How long exported models take for an image on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.export.images import proof_images
from mfn_patcher.export.runtime import load
from mfn_patcher.progress import task

_WARM_UP = 5
_REST = 0.02  # seconds

REFERENCE = "the MobileFaceNet paper (arXiv 1804.07573) states 24 ms on a Snapdragon 820"
"""For orientation only: measured on another machine with another runtime."""


@dataclass(frozen=True)
class Latency:
    """Latency of a model that embeds one image at a time.

    Attributes:
        runtime: name and version of what ran the model.
        threads: number of threads that it computed with.
        runs: number of timed runs, after some to warm up.
        median: median, in milliseconds.
        fastest: minimum, in milliseconds, which other load on the machine affects least.
    """

    runtime: str
    threads: int
    runs: int
    median: float
    fastest: float


def measure(models: Sequence[Path], threads: int, runs: int) -> list[Latency]:
    """Time models in turn, so that other load on the machine affects all of them equally.

    Args:
        models: paths of exported models.
        threads: number of threads to compute with.
        runs: number of runs to time for each.

    Raises:
        ModelFileError: A model cannot be run.
        PackageMissingError: Its runtime is missing.
    """
    networks = [load(model, threads) for model in models]
    images = proof_images(None).pixels
    taken: list[list[float]] = [[] for _ in networks]
    with task("measuring latencies", _WARM_UP + runs) as measuring:
        for number in range(_WARM_UP + runs):
            image = images[number % len(images)][None]
            for network, times in zip(networks, taken):
                if len(models) > 1:
                    # The previous runtime's threads keep spinning on the cores for a while.
                    time.sleep(_REST)
                    network.embed(image)
                start = time.perf_counter()
                network.embed(image)
                times.append(1000 * (time.perf_counter() - start))
            measuring.advance()
    return [
        Latency(network.name, threads, runs, statistics.median(timed), min(timed))
        for network, timed in zip(networks, (times[_WARM_UP:] for times in taken))
    ]
