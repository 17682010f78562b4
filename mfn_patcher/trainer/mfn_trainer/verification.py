"""Verification during training: loading the sets, and measuring the network on them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from sklearn.preprocessing import normalize

from . import bin_pickle, pixels, protocol
from .protocol import Array
from .threads import cores

# Images that a thread loads at a time, and after how many the script says so.
_PIECE, _TOLD_EVERY = 100, 1000


@dataclass(frozen=True)
class VerificationSet:
    """Pairs of faces to verify on.

    Attributes:
        name: name of the file without its ending, such as ``lfw``.
        images: the images as they are, and mirrored: two MXNet arrays of shape (images, 3, height,
            width).
        same: for each pair, whether both images show one person.
    """

    name: str
    images: tuple[Any, Any]
    same: list[bool]


def load(path: str, image_size: Sequence[int]) -> VerificationSet:
    """Load a set; ends the script with a message if it cannot be used.

    Args:
        path: path of the ``.bin`` file.
        image_size: height and width that images must have, in pixels.
    """
    encoded, same = _read(path)
    images = 2 * len(same)
    arrays = [np.empty((images, 3, *image_size), dtype=np.float32) for _ in range(2)]

    def decode(begin: int) -> int:
        for number in range(begin, min(begin + _PIECE, images)):
            try:
                img = pixels.decode(encoded[number])
                if img is None:
                    raise ValueError("it cannot be decoded")
                for mirrored, array in enumerate(arrays):
                    pixels.write(img, array[number], bool(mirrored))
            except ValueError as error:
                raise SystemExit(
                    f"image {number} of {path} cannot be used: {error}; replace it, or verify "
                    "without this file"
                ) from None
        return begin

    with ThreadPoolExecutor(cores()) as pool:
        for begin in pool.map(decode, range(0, images, _PIECE)):
            if begin % _TOLD_EVERY == 0:
                print("loading bin", begin)
    print(arrays[0].shape)
    # Not copied: each array takes gigabytes.
    plain, mirror = (mx.nd.from_numpy(array) for array in arrays)
    return VerificationSet(Path(path).stem, (plain, mirror), same)


def _read(path: str) -> tuple[list[bytes], list[bool]]:
    try:
        with Path(path).open("rb") as file:
            encoded, same = bin_pickle.load(file)
        if len(encoded) < 2 * len(same):
            raise ValueError(f"{len(encoded)} images are too few for {len(same)} pairs")
    except bin_pickle.RefusedError as error:
        raise SystemExit(
            f"{path} names {error}, which no verification set needs: nothing was loaded, because "
            "loading such a name can run code; get the file from a source that you trust"
        ) from None
    except Exception as error:  # a damaged pickle can end in almost any error
        raise SystemExit(
            f"{path} cannot be read as a verification set: {error}; copy it again, or verify "
            "without it"
        ) from None
    return encoded, same


@dataclass(frozen=True)
class Result:
    """What a network reaches on a set.

    Attributes:
        accuracy: mean accuracy over the folds, with the embeddings of both images added up; NaN if
            an embedding is not finite.
        std: standard deviation of it over the folds.
        xnorm: mean norm of the embeddings.
        embeddings: embeddings of the images as they are, and mirrored, shape (images, size).
    """

    accuracy: float
    std: float
    xnorm: float
    embeddings: tuple[Array, Array]


def test(pairs: VerificationSet, model: Any, batch_size: int, folds: int) -> Result:
    """Measure a network.

    Args:
        pairs: the set.
        model: computes embeddings, by ``forward`` and ``get_outputs`` of an MXNet module.
        batch_size: number of images that it takes at a time.
        folds: number of folds.
    """
    print("testing verification..")
    began = time.monotonic()
    plain, mirror = (embed(images, model, batch_size) for images in pairs.images)
    seconds = time.monotonic() - began
    xnorm = _mean_norm(plain, mirror)
    if not np.isfinite(xnorm):
        # One non-finite value leaves nothing to measure; the training run decides what to do then.
        return Result(np.nan, np.nan, xnorm, (plain, mirror))
    summed = normalize(plain + mirror)
    print(summed.shape)
    print("infer time", seconds)
    curve = protocol.measure_curve(summed, pairs.same, folds)
    return Result(
        float(np.mean(curve.accuracies)), float(np.std(curve.accuracies)), xnorm, (plain, mirror)
    )


def embed(images: Any, model: Any, batch_size: int) -> Array:
    """Return embeddings of images, shape (images, size), float64.

    The last batch is filled up with images before it.
    """
    label = mx.nd.ones((batch_size,))
    count = images.shape[0]
    embeddings: Array = np.zeros((0, 0))
    for begin in range(0, count, batch_size):
        end = min(begin + batch_size, count)
        data = mx.nd.slice_axis(images, axis=0, begin=end - batch_size, end=end)
        model.forward(mx.io.DataBatch(data=(data,), label=(label,)), is_train=False)
        output = model.get_outputs()[0].asnumpy()
        if begin == 0:
            embeddings = np.zeros((count, output.shape[1]))
        embeddings[begin:end] = output[batch_size - (end - begin) :]
    return embeddings


def _mean_norm(*embeddings: Array) -> float:
    # Added up one after another, as upstream does: any other order would round differently.
    total = 0.0
    for each in embeddings:
        for embedding in each:
            total += float(np.linalg.norm(embedding))
    return total / sum(map(len, embeddings))
