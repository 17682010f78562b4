"""How this process computes: the precision, and whether training steps are compiled.

MXNet has no such settings. They hold for modules that are bound afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .base import MXNetError

PRECISIONS = ("fp32", "tf32", "bf16")
"""Single precision, and two in which the convolutions of a network are faster and less precise.

With ``tf32``, the GPU rounds the factors of products to 10 bits. With ``bf16``, the results of
convolutions, and what is computed from them until the embedding, have 7 bits. Parameters, their
gradients, momentum, the statistics of batch norms, the last layer and the loss stay in single
precision.
"""
_TENSOR_CORES = (8, 0)  # compute capability from which GPUs have either


@dataclass
class Settings:
    """Settings of this process.

    Attributes:
        precision: one of `PRECISIONS`.
        compiled: whether training steps are compiled; None for on GPUs only.
    """

    precision: str = "fp32"
    compiled: bool | None = None


current = Settings()


def use(precision: str = "fp32", compiled: bool | None = None) -> None:
    """Change the settings.

    Args:
        precision: one of `PRECISIONS`.
        compiled: whether to compile training steps; None for on GPUs only.

    Raises:
        MXNetError: This machine cannot compute in that precision.
    """
    if precision not in PRECISIONS:
        raise MXNetError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision != "fp32" and torch.cuda.is_available():
        capability = torch.cuda.get_device_capability()
        if capability < _TENSOR_CORES:
            raise MXNetError(
                f"precision {precision} requires a GPU of compute capability 8.0 or later; this "
                f"one ({torch.cuda.get_device_name()}) has {capability[0]}.{capability[1]}"
            )
    if precision == "tf32" and not torch.cuda.is_available():
        raise MXNetError("precision tf32 requires a GPU")
    current.precision, current.compiled = precision, compiled
    # MXNet computes in single precision without TF32.
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


# Resumed runs must be deterministic.
torch.backends.cudnn.deterministic = True
use()
