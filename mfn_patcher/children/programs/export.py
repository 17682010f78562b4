"""Extract the network of a checkpoint, up to the embedding, and run it.

    export REQUEST

REQUEST is a JSON object. "symbol" and "params" are the paths of a network, and "images" is the path
of an array of images (uint8; N, 3, height, width; RGB). With "embeddings", their embeddings are
written to that path (.npy). With "layers", the outputs of all layers are (.npz). With "save", two
paths, symbol and parameters up to the embedding are. The answer is a JSON object on the last line
of output; "error" in it says why the network is not usable. Whichever package is called mxnet
computes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mfn_patcher.children.programs.embedders import (
    CheckpointEmbedder,
    Parameters,
    UnusableError,
    last_line,
)
from mfn_patcher.children.programs.prelu import with_prelu

BATCH = 16

Array = npt.NDArray[Any]


def embed(embedder: CheckpointEmbedder, images: Array) -> Array:
    """Return the embeddings of images (float32; N, length)."""
    import mxnet as mx

    found = []
    for start in range(0, len(images), BATCH):
        batch = np.resize(images[start : start + BATCH], (BATCH, *images.shape[1:]))
        data = mx.nd.array(batch, dtype="float32")
        embedder.forward(mx.io.DataBatch([data]), is_train=False)
        found.append(embedder.get_outputs()[0].asnumpy())
    embeddings: Array = np.concatenate(found)[: len(images)]
    return embeddings


def layers(symbol: Any, parameters: Parameters, images: Array) -> dict[str, Array]:
    """Return the output of each layer, by name, in order."""
    import mxnet as mx

    internals = symbol.get_internals()
    outputs = [name for name in internals.list_outputs() if name.endswith("_output")]
    # The variables among them are the parameters.
    module = mx.mod.Module(
        mx.sym.Group([internals[name] for name in outputs]), context=mx.cpu(), label_names=None
    )
    module.bind(data_shapes=[("data", images.shape)], for_training=False)
    module.set_params(parameters["arg"], parameters["aux"])
    data = mx.nd.array(images, dtype="float32")
    module.forward(mx.io.DataBatch([data]), is_train=False)
    return {
        name[: -len("_output")]: array.asnumpy()
        for name, array in zip(outputs, module.get_outputs())
    }


def save(symbol: Any, parameters: Parameters, files: tuple[str, str]) -> None:
    """Save symbol and parameters of a network, as MXNet reads them."""
    import mxnet as mx

    with_prelu(symbol).save(files[0])
    named = {
        f"{kind}:{name}": array for kind in parameters for name, array in parameters[kind].items()
    }
    mx.nd.save(files[1], named)


def export(request: Mapping[str, Any]) -> None:
    """Do what is requested."""
    import mxnet as mx

    images = np.load(request["images"])
    embedder = CheckpointEmbedder(request["symbol"], [mx.cpu()], (BATCH, *images.shape[1:]))
    parameters = embedder.read(request["params"])
    embedder.use(parameters)
    if "embeddings" in request:
        np.save(request["embeddings"], embed(embedder, images))
    if "layers" in request:
        found: dict[str, Any] = layers(embedder.symbol, parameters, images)
        np.savez(request["layers"], **found)
    if "save" in request:
        save(embedder.symbol, parameters, request["save"])


def main() -> None:
    """Answer the request on the command line."""
    # As in evaluate.py.
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"
    answer = {}
    try:
        export(json.loads(sys.argv[1]))
    except UnusableError as error:
        answer["error"] = str(error)
    except Exception as error:
        # Users edit symbols, and MXNet fails on some of these with many types of errors.
        answer["error"] = f"{type(error).__name__}: {last_line(error)}"
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
