"""Take the network of a checkpoint, up to the embedding, out of it, and run it.

    python export.py REQUEST

REQUEST is a JSON object: "symbol" and "params" are the paths of the checkpoint, "images" is an
array of images (uint8; N, 3, height, width; RGB) and "work" a folder for what they give. With
"slim", the paths of two files, symbol and parameters of the network are saved there and its
embeddings of the images to embeddings.npy; found.npy gets those of the files written, if "prove"
is true. With "layers", the number of an image, layers.npz gets what each layer makes of it. The
answer is a JSON object on the last line of output; "error" in it says why there is nothing. All is
computed by whichever package is called mxnet.
"""

import json
import os
import sys

import numpy as np
from evaluate import Network, UnusableError, last_line
from prelu import with_prelu

BATCH = 16


def network_of(symbol, images):
    """Return the network of a symbol file, bound for batches of these images."""
    import mxnet as mx

    return Network(symbol, [mx.cpu()], (BATCH, *images.shape[1:]), lambda: None)


def embed(network, images):
    """Return the embeddings of images (float32; N, length)."""
    import mxnet as mx

    found = []
    for start in range(0, len(images), BATCH):
        batch = np.resize(images[start : start + BATCH], (BATCH, *images.shape[1:]))
        data = mx.nd.array(batch, dtype="float32")
        network.forward(mx.io.DataBatch([data]), is_train=False)
        found.append(network.get_outputs()[0].asnumpy())
    return np.concatenate(found)[: len(images)]


def layers(symbol, parameters, image):
    """Return what each layer makes of an image, by name, in order."""
    import mxnet as mx

    internals = symbol.get_internals()
    outputs = [name for name in internals.list_outputs() if name.endswith("_output")]
    # The variables among them are the parameters.
    module = mx.mod.Module(
        mx.sym.Group([internals[name] for name in outputs]), context=mx.cpu(), label_names=None
    )
    module.bind(data_shapes=[("data", (1, *image.shape))], for_training=False)
    module.set_params(parameters["arg"], parameters["aux"])
    data = mx.nd.array(image[None], dtype="float32")
    module.forward(mx.io.DataBatch([data]), is_train=False)
    return {
        name[: -len("_output")]: array.asnumpy()
        for name, array in zip(outputs, module.get_outputs())
    }


def write_slim(network, parameters, files):
    """Save symbol and parameters of the network, as MXNet reads them."""
    import mxnet as mx

    symbol, params = files
    with_prelu(network._module.symbol).save(symbol)
    mx.nd.save(
        params,
        {
            kind + ":" + name: array
            for kind in parameters
            for name, array in parameters[kind].items()
        },
    )


def export(request):
    """Do what is asked; return the answer."""
    images, work = np.load(request["images"]), request["work"]
    network = network_of(request["symbol"], images)
    parameters = network.read(request["params"])
    if "layers" in request:
        found = layers(network._module.symbol, parameters, images[request["layers"]])
        np.savez(os.path.join(work, "layers.npz"), **found)
        return {}
    network.use(parameters)
    np.save(os.path.join(work, "embeddings.npy"), embed(network, images))
    write_slim(network, parameters, request["slim"])
    if request["prove"]:
        written = network_of(request["slim"][0], images)
        written.use(written.read(request["slim"][1]))
        np.save(os.path.join(work, "found.npy"), embed(written, images))
    return {}


def main():
    """Answer the request on the command line."""
    # As evaluate.py has it.
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"
    try:
        answer = export(json.loads(sys.argv[1]))
    except UnusableError as error:
        answer = {"error": str(error)}
    except Exception as error:
        # Users edit symbols, and MXNet fails on some in ways of its own.
        answer = {"error": "{}: {}".format(type(error).__name__, last_line(error))}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
