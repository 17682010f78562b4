"""Images to embed: the user's aligned crops, and the images that verify an export."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfn_patcher.children.exported import Pixels
from mfn_patcher.data.drawn_face import draw_identity, draw_image
from mfn_patcher.data.images import ImageProblem, load_image, spread
from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.data.verification_set import read_verification_set
from mfn_patcher.errors import MfnPatchError

PROOF_IMAGES = 64
SEED = 0


class ImageError(MfnPatchError):
    """An image is not of the kind that networks embed."""


@dataclass(frozen=True)
class ProofImages:
    """The images that verify an export.

    Attributes:
        pixels: the images.
        source: where they come from, in words.
    """

    pixels: Pixels
    source: str


def proof_images(verification_set: Path | None) -> ProofImages:
    """Return the images that verify an export.

    Args:
        verification_set: path of a ``.bin`` file to take them from, spread evenly; None to draw
            faces.

    Raises:
        ImageError: An image is not usable.
        VerificationSetError: The file cannot be read.
    """
    if verification_set is None:
        encoded = (
            draw_image(draw_identity(rng), rng)
            for rng in (np.random.default_rng([SEED, number]) for number in range(PROOF_IMAGES))
        )
        faces = ((f"synthetic face {number}", face) for number, face in enumerate(encoded))
        return ProofImages(_decode(faces), f"synthetic faces, seed {SEED}")
    images = read_verification_set(verification_set).images
    chosen = spread(len(images), PROOF_IMAGES)
    named = ((f"image {number} of {verification_set}", images[number]) for number in chosen)
    return ProofImages(_decode(named), str(verification_set))


def read_crops(paths: Iterable[Path]) -> Pixels:
    """Return the pixels of aligned crops.

    Raises:
        ImageError: A file is missing, not an image, or not of the size of training images.
    """
    try:
        return _decode([(str(path), path.read_bytes()) for path in paths])
    except OSError as error:
        raise ImageError(
            f"cannot read {error.filename}: {error.strerror}",
            remedy="Check its path and permissions.",
        ) from error


def _decode(images: Iterable[tuple[str, bytes]]) -> Pixels:
    pixels = []
    for name, content in images:
        img = load_image(content)
        if isinstance(img, ImageProblem):
            raise ImageError(
                f"{name} {img.text}",
                remedy="Networks embed faces that were detected and aligned like the training "
                f"data: {IMAGE_SIDE}x{IMAGE_SIDE} pixels, JPEG or PNG. Embeddings of anything "
                "else would be meaningless.",
            )
        pixels.append(img[..., ::-1].transpose(2, 0, 1))
    return np.stack(pixels)
