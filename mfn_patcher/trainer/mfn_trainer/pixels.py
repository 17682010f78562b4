"""Decode images exactly as MXNet 1.9.1 does: the one decoder of tool, training and engine.

A test compares it with MXNet's own ``mx.image.imdecode``. MXNet calls a static OpenCV 3.4.2 built
with few formats, through a code path that depends on the file's first bytes:

* JPEG, PNG, BMP and TIFF are decoded to three channels of 8 bits. Alpha is dropped, 16 bits keep
  the upper 8, grey, palette and CMYK are converted. WebP, GIF and everything else is refused, and
  so is TIFF that is compressed by JPEG or Deflate.
* A JPEG that begins with a JFIF header keeps its pixels as they are stored, whatever its EXIF
  orientation says. Any other JPEG, such as a camera's, which begins with EXIF, is turned upright.
  PNG is never turned; TIFF is flipped but never transposed.
* A baseline JPEG that ends early keeps its complete rows, the last of which fills the rest. If not
  even one row is complete, MXNet returns uninitialised memory; here the image is refused.

OpenCV, NumPy and Pillow release Python's lock while they work, so threads can share many images.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
"""An image: height, width, channels (blue, green, red)."""
Encoded = bytes | memoryview

_JPEG, _PNG, _BMP, _TIFF = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", (b"II*\0", b"MM\0*")
_END_OF_JPEG = b"\xff\xd9"
_UPRIGHT = cv2.IMREAD_COLOR
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_ORIENTATION, _COMPRESSION = 0x112, 0x103
_PLAIN_TIFF = (1, 2, 3, 4, 5, 32773)  # raw, CCITT, LZW and PackBits


def decode(encoded: Encoded) -> Pixels | None:
    """Decode an image.

    Args:
        encoded: The content of an image file.

    Returns:
        The pixels; None if MXNet cannot decode the image.
    """
    head = bytes(encoded[:11])
    if head.startswith(_JPEG):
        return _decode_jpeg(encoded, as_stored=head[3:4] == b"\xe0" and head[6:] == b"JFIF\0")
    if head.startswith((_PNG, _BMP)):
        return _read(encoded, _AS_STORED)
    return _decode_tiff(bytes(encoded)) if head.startswith(_TIFF) else None


def write(img: Pixels, out: npt.NDArray[Any], mirrored: bool) -> None:
    """Copy an image, mirrored or not, into an array of channels (red, green, blue), height, width.

    Raises:
        ValueError: The two sizes differ.
    """
    if img.shape[:2] != out.shape[1:]:
        (height, width), (_, rows, columns) = img.shape[:2], out.shape
        raise ValueError(f"the image is {width}x{height} pixels, not {columns}x{rows}")
    out[2], out[1], out[0] = cv2.split(cv2.flip(img, 1) if mirrored else img)


def _read(encoded: Encoded, flags: int) -> Pixels | None:
    try:
        img: Pixels | None = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), flags)
    except cv2.error:
        return None  # an image larger than OpenCV allows
    return img


def _decode_jpeg(encoded: Encoded, as_stored: bool) -> Pixels | None:
    # Other data may follow the end marker, so search for it; it nearly always comes last.
    if encoded[-2:] == _END_OF_JPEG or _END_OF_JPEG in bytes(encoded):
        img = _read(encoded, _AS_STORED if as_stored else _UPRIGHT)
        if img is not None:
            return img
    # Later versions of OpenCV refuse what 3.4.2 decodes as far as it goes.
    return _decode_incomplete_jpeg(bytes(encoded), as_stored)


def _decode_incomplete_jpeg(encoded: bytes, as_stored: bool) -> Pixels | None:
    img = _read(encoded + _END_OF_JPEG, _AS_STORED)
    if img is None:
        return None
    try:
        complete = _load(encoded) == _load(encoded + _END_OF_JPEG)
        orientation = 1 if as_stored else _open(encoded).getexif().get(_ORIENTATION)
    except Exception:
        return None  # Pillow's decoders raise almost anything over damaged data
    rows = int(np.argmin([*complete.reshape(len(complete), -1).all(axis=1), False]))
    if rows == 0:
        return None
    img[rows:] = img[rows - 1]
    return _turn(img, orientation)


def _open(encoded: bytes) -> Any:
    return Image.open(io.BytesIO(encoded), formats=["JPEG"])


def _load(encoded: bytes) -> Pixels:
    """Return the pixels of a JPEG in Pillow's order; rows that cannot be decoded stay 0.

    Like OpenCV 3.4.2, and unlike later ones, Pillow has libjpeg stop at the end of the data.
    """
    image = _open(encoded)
    try:
        image.load()
    except OSError:
        image.tile = []  # so that it is not tried again
    return np.asarray(image)


def _turn(img: Pixels, orientation: Any) -> Pixels:
    """Rotate an image upright according to its EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        img = img.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        img = img[:, ::-1]
    if orientation in (3, 4, 7, 8):
        img = img[::-1]
    return np.ascontiguousarray(img)


def _decode_tiff(encoded: bytes) -> Pixels | None:
    try:
        image: Any = Image.open(io.BytesIO(encoded), formats=["TIFF"])
        tags = image.tag_v2
        compression, orientation = tags.get(_COMPRESSION, 1), tags.get(_ORIENTATION, 1)
    except Exception:
        compression, orientation = 1, 1  # for OpenCV to judge
    img = _read(encoded, _AS_STORED) if compression in _PLAIN_TIFF else None
    if img is None or orientation not in (5, 6, 7, 8):
        return img
    # Undo what later versions of OpenCV do: 3.4.2 takes these four for 1 to 4.
    img = img.transpose(1, 0, 2)
    return np.ascontiguousarray(img if orientation in (5, 7) else img[::-1, ::-1])
