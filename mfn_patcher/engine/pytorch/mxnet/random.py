"""The generators of random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .base import out_of_scope
from .ndarray import NDArray

__getattr__ = out_of_scope("mxnet.random")


def seed(seed_state: int) -> None:
    """Have all that is random follow from a number: first parameters and dropout."""
    torch.manual_seed(seed_state)


def normal(loc: float = 0, scale: float = 1, shape: int | Sequence[int] = 1) -> NDArray:
    """Return numbers of a normal distribution."""
    extents = (shape,) if isinstance(shape, int) else tuple(shape)
    return NDArray(torch.empty(extents).normal_(loc, scale))


# Where nobody seeds, MXNet gives the same numbers in each process; PyTorch would not.
seed(0)
