"""What this package uses of the PyTorch engine where MXNet has nothing like it."""

from __future__ import annotations

import argparse
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt

from .precision import FP32

_COMPILED = {"auto": None, "on": True, "off": False}
ON_TORCH = getattr(mx, "engine", None) == "torch"


def configure(args: argparse.Namespace) -> None:
    """Set the engine to the precision that the script was given, and to whether it compiles.

    Raises:
        SystemExit: The engine or the device cannot compute so.
    """
    if ON_TORCH:
        try:
            mx.settings.use(args.precision, _COMPILED[args.compile])
        except mx.base.MXNetError as error:
            raise SystemExit(f"--precision {args.precision}: {error}") from None
        return
    for option, value, default in (
        ("--precision", args.precision, FP32),
        ("--compile", args.compile, "auto"),
    ):
        if value not in (default, "off"):
            raise SystemExit(f"{option} {value} requires the PyTorch engine")


def host_array(shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
    """Return an uninitialised array, in pinned memory if there is a GPU."""
    if ON_TORCH:
        pinned: npt.NDArray[Any] = mx.nd.host_array(shape, dtype)
        return pinned
    return np.empty(shape, dtype)
