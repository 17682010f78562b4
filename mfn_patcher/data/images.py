"""Decoding a sample of images."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mfn_patcher.data.pixels import Pixels, decode


def spread(count: int, samples: int) -> list[int]:
    """Choose up to `samples` of the numbers 0 … count-1, evenly, the first and last included."""
    return sorted({int(number) for number in np.linspace(0, count - 1, min(samples, count))})


@dataclass(frozen=True)
class ImageProblem:
    """Why an image can't be trained with.

    Attributes:
        text: What is wrong, to follow the image's name.
        remedy: What to do about it.
        undecodable: Whether it can't be decoded: training skips it instead of stopping at it.
    """

    text: str
    remedy: str
    undecodable: bool


def load_image(content: bytes, size: tuple[int, int]) -> Pixels | ImageProblem:
    """Decode an image, or say why it can't be trained with.

    Args:
        content: The encoded image.
        size: Width and height it must have, in pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                kind, found = image.format, image.size
    except Exception:
        # Decoders raise almost anything over damaged data.
        kind, found = None, size
    # Asked first, so that a small file of a huge image costs no memory.
    if found not in (size, size[::-1]):
        return _wrong_size(found, size)
    img = decode(content)
    if img is None:
        if kind in (None, "JPEG", "PNG"):
            remedy = "Replace it by the original, or pack the data set without it."
            return ImageProblem("can't be decoded", remedy, undecodable=True)
        text = f"can't be decoded: MXNet does not read {kind} images"
        return ImageProblem(text, "Convert the images to JPEG or PNG.", undecodable=True)
    height, width = img.shape[:2]
    return img if (width, height) == size else _wrong_size((width, height), size)


def _wrong_size(found: tuple[int, int], size: tuple[int, int]) -> ImageProblem:
    wanted = f"{size[0]}x{size[1]}"
    return ImageProblem(
        f"is {found[0]}x{found[1]}, not {wanted}",
        f"Align the faces to {wanted} pixels.",
        undecodable=False,
    )
