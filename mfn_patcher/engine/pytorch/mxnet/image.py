"""Decoding images."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import numpy as np

from .base import MXNetError, out_of_scope
from .ndarray import NDArray, from_numpy

__getattr__ = out_of_scope("mxnet.image")

# The decoder is loaded by its path, because the training interpreter may not have the tool.
_PLACE = Path(__file__).parents[3] / "trainer" / "mfn_trainer" / "pixels.py"
_LOADER = SourceFileLoader("pixels", str(_PLACE))
_PIXELS = ModuleType(_LOADER.name)
_LOADER.exec_module(_PIXELS)


def imdecode(buf: bytes) -> NDArray:
    """Return the pixels of an encoded image, uint8 of shape (height, width, 3), in RGB.

    Raises:
        MXNetError: The image cannot be decoded; MXNet could not decode it either.
    """
    found = _PIXELS.decode(buf)
    if found is None:
        raise MXNetError("an image cannot be decoded")
    return from_numpy(np.ascontiguousarray(found[:, :, ::-1]))
