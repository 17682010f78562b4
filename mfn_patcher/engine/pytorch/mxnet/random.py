"""Random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .base import out_of_scope
from .ndarray import NDArray, empty

__getattr__ = out_of_scope("mxnet.random")


def seed(seed_state: int) -> None:
    """Seed the random numbers of initialization and dropout, differently on each device."""
    torch.manual_seed(seed_state)
    if torch.cuda.device_count() > 1:
        torch.cuda.init()
        for i, generator in enumerate(torch.cuda.default_generators):
            generator.manual_seed(seed_state + i)


def normal(loc: float = 0, scale: float = 1, shape: int | Sequence[int] = 1) -> NDArray:
    """Return an array of normally distributed numbers."""
    drawn = empty(shape)
    drawn.tensor.normal_(loc, scale)
    return drawn


# Without a seed, MXNet draws the same numbers in every process; PyTorch would not.
seed(0)
