"""Embedding image files with an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mfn_patcher.children.exported import Floats, ModelFileError
from mfn_patcher.export import formats
from mfn_patcher.export.images import read_crops
from mfn_patcher.export.runtime import load
from mfn_patcher.progress import task


def embed_files(model: Path, images: Sequence[Path]) -> tuple[str, Floats]:
    """Embed image files.

    Args:
        model: path of an exported model.
        images: paths of aligned crops.

    Returns:
        Name and version of the runtime, and the embeddings (images, length), each of length 1.

    Raises:
        ImageError: An image is not such a crop.
        ModelFileError: The model cannot be run, or its embeddings contain NaN or Inf.
        PackageMissingError: Its runtime is missing.
    """
    formats.of_file(model)  # so that a model among the images is not reported as an image
    with task(f"embedding {len(images):,} images"):
        pixels = read_crops(images)
        network = load(model)
        embeddings = network.embed(pixels)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ModelFileError(model, "its embeddings are zero, NaN or Inf")
    return network.name, embeddings / lengths
