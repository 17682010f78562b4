"""MXNet's generator of random numbers, from which dropout draws, for instance."""

from __future__ import annotations

import mxnet as mx
import numpy as np

_LARGEST = 1 << 31


def reseed(seed: int, step: int, rank: int = 0) -> None:
    """Seed MXNet's generator with seed, step and rank of the worker."""
    words = [seed, step, rank] if rank else [seed, step]
    mx.random.seed(int(np.random.RandomState(words).randint(_LARGEST)))
