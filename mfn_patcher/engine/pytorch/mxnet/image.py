"""Decoding of images."""

from __future__ import annotations

import cv2
import numpy as np

from .base import MXNetError, out_of_scope
from .ndarray import NDArray, from_numpy

__getattr__ = out_of_scope("mxnet.image")


def imdecode(buf: bytes) -> NDArray:
    """Return the pixels of an encoded image: height, width, and red, green, blue from 0 to 255.

    As in MXNet, whose OpenCV is an old one, an orientation in the image's metadata is not applied.

    Raises:
        MXNetError: It can't be decoded.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    found = cv2.imdecode(np.frombuffer(buf, dtype=np.uint8), flags) if buf else None
    if found is None:
        raise MXNetError("an image cannot be decoded")
    return from_numpy(np.ascontiguousarray(found[:, :, ::-1]))
