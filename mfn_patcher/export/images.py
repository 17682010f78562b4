"""Images to embed: aligned crops of the user's, and those that an export is proven with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mfn_patcher.data.drawn_face import draw_identity, draw_image
from mfn_patcher.data.images import ImageProblem, load_image, spread
from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.data.verification_set import read_verification_set
from mfn_patcher.errors import MfnPatchError

PROOF_IMAGES = 64
SEED = 0

Pixels = npt.NDArray[np.uint8]
"""Images as networks take them: images, channels (RGB), height, width."""


class ImageError(MfnPatchError):
    """An image is not what the network embeds."""


def proof_images(verification_set: Path | None) -> tuple[Pixels, str]:
    """Return the images to prove an export with, and where they are from.

    Args:
        verification_set: A ``.bin`` file to take them from, spread evenly; None to draw faces.

    Raises:
        ImageError: One of them can't be used.
        VerificationSetError: The file can't be read.
    """
    if verification_set is None:
        encoded = (
            draw_image(draw_identity(rng), rng)
            for rng in (np.random.default_rng([SEED, number]) for number in range(PROOF_IMAGES))
        )
        return _decode(
            (f"drawn face {i}", face) for i, face in enumerate(encoded)
        ), f"drawn faces, seed {SEED}"
    images = read_verification_set(verification_set).images
    chosen = spread(len(images), PROOF_IMAGES)
    named = ((f"image {number} of {verification_set}", images[number]) for number in chosen)
    return _decode(named), str(verification_set)


def read_crops(paths: Iterable[Path]) -> Pixels:
    """Return the pixels of aligned crops.

    Raises:
        ImageError: One is missing, no image, or not of the size that the network was trained with.
    """
    try:
        return _decode([(str(path), path.read_bytes()) for path in paths])
    except OSError as error:
        raise ImageError(f"{error.filename} can't be read: {error.strerror}") from error


def _decode(images: Iterable[tuple[str, bytes]]) -> Pixels:
    pixels = []
    for name, content in images:
        img = load_image(content, (IMAGE_SIDE, IMAGE_SIDE))
        if isinstance(img, ImageProblem):
            raise ImageError(
                f"{name} {img.text}",
                remedy="The network embeds faces that were detected and aligned as its training "
                f"data was: {IMAGE_SIDE}x{IMAGE_SIDE} pixels, JPEG or PNG. Anything else "
                "would give embeddings that mean nothing.",
            )
        pixels.append(img[..., ::-1].transpose(2, 0, 1))
    return np.stack(pixels)
