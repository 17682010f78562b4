"""Decoding a sample of images."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image


def spread(count: int, samples: int) -> list[int]:
    """Choose up to `samples` of the numbers 0 … count-1, evenly, the first and last included."""
    return sorted({int(number) for number in np.linspace(0, count - 1, min(samples, count))})


def image_problem(content: bytes, size: tuple[int, int]) -> str:
    """Say what is wrong with an encoded image; nothing if it has the size, in RGB or grey.

    The script's decoder makes RGB of grey.

    Args:
        content: The encoded image.
        size: Width and height it must have, in pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                if image.size != size:
                    return f"is {image.width}x{image.height}, not {size[0]}x{size[1]}"
                image.load()
                return "" if image.mode in ("RGB", "L") else f"has mode {image.mode}, not RGB"
    except Exception as error:
        # Decoders raise almost anything over damaged data.
        return f"can't be decoded: {error}".partition(" <")[0]


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
