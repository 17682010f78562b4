"""Decoding a sample of images."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from mfn_patcher.dataset.pixels import decode


def spread(count: int, samples: int) -> list[int]:
    """Choose up to `samples` of the numbers 0 … count-1, evenly, the first and last included."""
    return sorted({int(number) for number in np.linspace(0, count - 1, min(samples, count))})


def image_problem(content: bytes, size: tuple[int, int]) -> str:
    """Say what is wrong with an encoded image; nothing if it can be trained with.

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
        return f"is {found[0]}x{found[1]}, not {size[0]}x{size[1]}"
    img = decode(content)
    if img is None:
        reason = "" if kind in (None, "JPEG", "PNG") else f": MXNet does not read {kind} images"
        return f"can't be decoded{reason}"
    if img.shape[1::-1] != size:
        return f"is {img.shape[1]}x{img.shape[0]}, not {size[0]}x{size[1]}"
    return ""


def sampled_image_problems(
    images: Iterable[tuple[str, bytes]], size: tuple[int, int]
) -> Iterator[str]:
    """Decode images, and sum up what is wrong in at most one sentence.

    Args:
        images: Name and encoded image of each.
        size: Width and height they must have, in pixels.
    """
    total = 0
    problems = []
    for name, content in images:
        total += 1
        problem = image_problem(content, size)
        if problem:
            problems.append(f"{name} {problem}")
    if problems:
        yield f"{len(problems)} of {total} sampled images are unusable; {problems[0]}"
