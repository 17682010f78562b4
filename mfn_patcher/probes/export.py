"""Write the network of a checkpoint, up to the embedding, in another format.

    python export.py REQUEST

REQUEST is a JSON object: "symbol" and "params" are the paths of the checkpoint, "images" is an
array of images (uint8; N, 3, height, width; RGB) and "work" a folder for what they give. With
"format", slim or onnx, the network is written to "files", in half precision if "fp16" asks for it,
and MXNet's embeddings of the images to embeddings.npy. For slim, found.npy holds the embeddings of
the files written; for onnx, layers.onnx is the network with all its layers as outputs, and if
weights were set to zero, unflushed.onnx is the network with them as they were. With "layers", the
number of an image, layers.npz gets what each of MXNet's layers makes of it. The answer is a JSON
object on the last line of output; "error" in it says why there is nothing.
"""

import copy
import json
import os
import sys

import numpy as np
from evaluate import Network, UnusableError, last_line
from prelu import with_prelu

BATCH = 16
# What every runtime of the last years reads; the exporter's operators are those of this version,
# though it states the newest that the installed package knows.
OPSET = 13


def network_of(symbol, images):
    """Return the network of a symbol file, bound for batches of these images."""
    import mxnet as mx

    return Network(symbol, [mx.cpu()], (BATCH, *images.shape[1:]), lambda: None)


def embed(network, images):
    """Return the embeddings of images as MXNet computes them (float32; N, length)."""
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


def scaling(symbol):
    """Return what the network itself does to pixels first: pairs of operator and number."""
    nodes = json.loads(symbol.tojson())["nodes"]
    current, steps = next(i for i, node in enumerate(nodes) if node["name"] == "data"), []
    while True:
        users = [
            i
            for i, node in enumerate(nodes)
            if any(source[0] == current for source in node["inputs"])
        ]
        if len(users) != 1 or not nodes[users[0]]["op"].endswith("_scalar"):
            return steps
        current = users[0]
        steps.append([nodes[current]["op"].strip("_"), float(nodes[current]["attrs"]["scalar"])])


def count_subnormal(arrays):
    """Return how many numbers are neither zero nor normal in single precision."""
    tiny = np.finfo(np.float32).tiny
    return int(sum(np.count_nonzero((array != 0) & (np.abs(array) < tiny)) for array in arrays))


# -- slim ---------------------------------------------------------------------------------


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


# -- onnx ---------------------------------------------------------------------------------


def write_onnx(network, parameters, path, fp16, work):
    """Export to ONNX; return what was done to the weights."""
    import mxnet.onnx
    import onnx

    symbol, arrays = corrected(with_prelu(network._module.symbol), parameters)
    shape = next(desc.shape for desc in network._module.data_shapes)[1:]
    mxnet.onnx.export_model(
        symbol,
        arrays,
        [(1, *shape)],
        np.float32,
        path,
        dynamic=True,
        dynamic_input_shapes=[("N", *shape)],
    )
    model = onnx.load(path)
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    drop_identities(model.graph)
    shape_slopes(model.graph, weights)
    folded = fold(model.graph, weights)
    flushed = count_subnormal(weights.values())
    tiny = np.finfo(np.float32).tiny
    length = network._module.output_shapes[0][1][1]
    unflushed = copy.deepcopy(model)
    finish(unflushed, weights, length)
    finish(
        model,
        {name: np.where(np.abs(array) < tiny, 0, array) for name, array in weights.items()},
        length,
    )
    every = copy.deepcopy(model)
    for node in model.graph.node[:-1]:
        every.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    every = onnx.shape_inference.infer_shapes(every)
    shapes = {value.name: value for value in every.graph.value_info}
    for output in every.graph.output[1:]:
        output.CopyFrom(shapes.get(output.name, output))
    if fp16:
        model, every, unflushed = half(model), half(every), half(unflushed)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    onnx.save(every, os.path.join(work, "layers.onnx"))
    if flushed:
        onnx.save(unflushed, os.path.join(work, "unflushed.onnx"))
    nodes = [
        [node.output[0], [name for name in node.input if name not in weights]]
        for node in model.graph.node
    ]
    return {"folded": folded, "flushed": flushed, "nodes": nodes}


def corrected(symbol, parameters):
    """Return a symbol and parameters that MXNet's exporter translates rightly.

    It takes a FullyConnected that doesn't say `flatten` for one that doesn't flatten, and the
    gamma of a BatchNorm for what it is even where `fix_gamma` has MXNet compute with 1.
    """
    import mxnet as mx

    arrays = {**parameters["arg"], **parameters["aux"]}
    graph = json.loads(symbol.tojson())
    for node in graph["nodes"]:
        attributes = node.setdefault("attrs", {})
        if node["op"] == "FullyConnected":
            attributes.setdefault("flatten", "True")
        if node["op"] == "BatchNorm" and attributes.get("fix_gamma", "True") in ("True", "1"):
            gamma = graph["nodes"][node["inputs"][1][0]]["name"]
            arrays[gamma] = mx.nd.ones_like(arrays[gamma])
    return mx.sym.load_json(json.dumps(graph)), arrays


def drop_identities(graph):
    """Take out what does nothing, as dropout does, so that converters have nothing to take out."""
    for identity in [node for node in graph.node if node.op_type == "Identity"]:
        source, name = identity.input[0], identity.output[0]
        if any(output.name == name for output in graph.output):
            continue
        for node in graph.node:
            node.input[:] = [source if each == name else each for each in node.input]
        graph.node.remove(identity)


def shape_slopes(graph, weights):
    """Give the slopes of PReLU a shape that ONNX broadcasts over channels, not columns."""
    for node in graph.node:
        if node.op_type == "PRelu":
            weights[node.input[1]] = weights[node.input[1]].reshape(-1, 1, 1)


def fold(graph, weights):
    """Fold each BatchNormalization into the layer before it; return how many were."""
    producers = {node.output[0]: node for node in graph.node}
    uses = [name for node in graph.node for name in node.input]
    norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
    folded = 0
    for norm in norms:
        layer = producers.get(norm.input[0])
        if layer is None or layer.op_type not in ("Conv", "Gemm") or uses.count(norm.input[0]) > 1:
            continue
        gamma, beta, mean, variance = (weights[name].astype(np.float64) for name in norm.input[1:])
        epsilon = next(item.f for item in norm.attribute if item.name == "epsilon")
        scale = gamma / np.sqrt(variance + epsilon)
        # Output channels are the first axis of both: the exporter's Gemm is transposed.
        weight = weights[layer.input[1]]
        by_channel = scale.reshape(-1, *[1] * (weight.ndim - 1))
        weights[layer.input[1]] = (weight * by_channel).astype(np.float32)
        bias = weights[layer.input[2]] if layer.input[2:] else 0
        name = norm.output[0] + "_bias"
        weights[name] = ((bias - mean) * scale + beta).astype(np.float32)
        layer.input[2:] = [name]
        layer.output[0] = norm.output[0]
        graph.node.remove(norm)
        folded += 1
    return folded


def finish(model, weights, length):
    """Put the weights in use into a model, and describe its input and output."""
    import onnx

    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    del graph.initializer[:]
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in weights.items() if name in used
    )
    # The exporter lists weights among the inputs, which keeps runtimes from relying on them.
    inputs = [value for value in graph.input if value.name == "data"]
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.output[:]
    kind = onnx.TensorProto.FLOAT
    graph.output.append(onnx.helper.make_tensor_value_info("fc1", kind, ["N", length]))
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    model.ir_version = 7  # the one of that version


def half(model):
    """Return a model in half precision, whose input and outputs are of single precision."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    # It puts the casts last, where they are used before they are computed.
    sorted_model = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    sorted_model.topological_sort()
    return sorted_model.model


# -----------------------------------------------------------------------------------------


def export(request):
    """Do what is asked; return the answer."""
    import mxnet as mx

    images, work = np.load(request["images"]), request["work"]
    network = network_of(request["symbol"], images)
    parameters = network.read(request["params"])
    symbol = network._module.symbol
    if "layers" in request:
        found = layers(symbol, parameters, images[request["layers"]])
        np.savez(os.path.join(work, "layers.npz"), **found)
        return {}
    network.use(parameters)
    embeddings = embed(network, images)
    np.save(os.path.join(work, "embeddings.npy"), embeddings)
    arrays = [array.asnumpy() for kind in parameters.values() for array in kind.values()]
    answer = {
        "mxnet": mx.__version__,
        "scaling": scaling(symbol),
        "subnormal": count_subnormal(arrays),
        "parameters": int(sum(array.size for array in arrays)),
        "length": embeddings.shape[1],
    }
    if request["format"] == "slim":
        write_slim(network, parameters, request["files"])
        written = network_of(request["files"][0], images)
        written.use(written.read(request["files"][1]))
        np.save(os.path.join(work, "found.npy"), embed(written, images))
        return answer
    return {**answer, **write_onnx(network, parameters, *request["files"], request["fp16"], work)}


def main():
    """Answer the request on the command line."""
    # As evaluate.py has it.
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"
    try:
        answer = export(json.loads(sys.argv[1]))
    except UnusableError as error:
        answer = {"error": str(error)}
    except ImportError as error:
        answer = {"error": last_line(error), "missing": True}
    except Exception as error:
        # Users edit symbols: MXNet and its exporter fail on some in ways of their own.
        answer = {"error": "{}: {}".format(type(error).__name__, last_line(error))}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
