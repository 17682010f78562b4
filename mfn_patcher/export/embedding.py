"""Embedding files with an exported network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mfn_patcher.children.programs.runtimes import Floats
from mfn_patcher.export.images import read_crops
from mfn_patcher.export.runtime import ModelFileError, load, running


def embed_files(model: Path, images: Sequence[Path]) -> tuple[str, Floats]:
    """Return what ran the network, and the embeddings (images, length), each of length 1.

    Args:
        model: A file from an export, ``.onnx`` or ``.param``.
        images: Aligned crops.

    Raises:
        ImageError: An image is not such a crop.
        ModelFileError: The model can't be run, or gives numbers that are not finite.
        RuntimeMissingError: Its runtime is missing.
    """
    pixels = read_crops(images)
    network = load(model)
    with running(model):
        embeddings = network.embed(pixels)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ModelFileError(f"{model} gives embeddings without a direction")
    return network.name, embeddings / lengths
