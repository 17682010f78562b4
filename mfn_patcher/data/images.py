"""Decoding a sample of images, to find the ones that training cannot use."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.trainer.mfn_trainer.pixels import Pixels, decode

_SIZE = (IMAGE_SIDE, IMAGE_SIDE)
# Pillow refuses to read even the header of an image with more pixels, which has a size to report.
Image.MAX_IMAGE_PIXELS = None


def spread(count: int, samples: int) -> list[int]:
    """Choose up to `samples` evenly spaced numbers from 0 … count-1, including both ends."""
    return sorted({int(number) for number in np.linspace(0, count - 1, min(samples, count))})


@dataclass(frozen=True)
class ImageProblem:
    """Why an image cannot be used for training.

    Attributes:
        text: what is wrong, to follow the name of the image.
        remedy: what to do about it.
        undecodable: whether decoding fails: training takes the next image instead, but stops at
            any other problem.
    """

    text: str
    remedy: str
    undecodable: bool


def read_header(content: bytes) -> tuple[str | None, tuple[int, int]] | None:
    """Return format, width and height of an image, however large; None if it is none.

    Args:
        content: the encoded image.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.format, image.size
    except Exception:
        return None  # Pillow's decoders raise almost anything on damaged data


def load_image(content: bytes) -> Pixels | ImageProblem:
    """Decode an image, or say why it cannot be used for training."""
    # The header is checked first, so that a small file with a huge image takes no memory.
    kind, found = read_header(content) or (None, _SIZE)
    if found != _SIZE:
        return _wrong_size(found)
    img = decode(content)
    if img is None:
        if kind in (None, "JPEG", "PNG"):
            remedy = "Replace it with the original, or pack the data set without it."
            return ImageProblem("cannot be decoded", remedy, undecodable=True)
        text = f"cannot be decoded: MXNet does not read {kind} images"
        return ImageProblem(text, "Convert the images to JPEG or PNG.", undecodable=True)
    height, width = img.shape[:2]
    return img if (width, height) == _SIZE else _wrong_size((width, height))


def _wrong_size(found: tuple[int, int]) -> ImageProblem:
    wanted = f"{IMAGE_SIDE}x{IMAGE_SIDE}"
    return ImageProblem(
        f"is {found[0]}x{found[1]}, not {wanted}",
        f"Align the faces to {wanted} pixels.",
        undecodable=False,
    )
