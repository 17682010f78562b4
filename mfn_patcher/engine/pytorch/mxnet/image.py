"""Decoding of images."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import numpy as np

from .base import MXNetError, out_of_scope
from .ndarray import NDArray, from_numpy

__getattr__ = out_of_scope("mxnet.image")

# The tool's decoder, by its path: the tool need not be installed in the training interpreter.
_PLACE = Path(__file__).parents[3] / "trainer" / "mfn_trainer" / "pixels.py"
_LOADER = SourceFileLoader("pixels", str(_PLACE))
_PIXELS = ModuleType(_LOADER.name)
_LOADER.exec_module(_PIXELS)


def imdecode(buf: bytes) -> NDArray:
    """Return the pixels of an encoded image: height, width, and red, green, blue from 0 to 255.

    Raises:
        MXNetError: MXNet can't decode it either.
    """
    found = _PIXELS.decode(buf)
    if found is None:
        raise MXNetError("an image cannot be decoded")
    return from_numpy(np.ascontiguousarray(found[:, :, ::-1]))
