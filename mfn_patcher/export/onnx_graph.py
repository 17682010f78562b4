"""Networks in ONNX's operators: translated from a symbol, and optimised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfn_patcher.engine.pytorch.mxnet.attributes import parse
from mfn_patcher.engine.pytorch.mxnet.base import MXNetError
from mfn_patcher.engine.pytorch.mxnet.operators import OPERATORS
from mfn_patcher.engine.pytorch.mxnet.symbol_json import Graph, GraphNode
from mfn_patcher.export.backbone import Backbone, count_subnormal
from mfn_patcher.export.formats.base import Conversion
from mfn_patcher.export.onnx_operators import (
    WRITERS,
    Array,
    Layer,
    Node,
    Shape,
    UnsupportedError,
    Value,
    Weight,
)

_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Translated:
    """A network in ONNX's operators.

    Attributes:
        layers: its layers, each after those that it reads from.
        shape: shape of an image, its input ``data``.
        output: name of its output.
        output_shape: shape of the output for one image, without the first axis.
    """

    layers: tuple[Layer, ...]
    shape: Shape
    output: str
    output_shape: Shape

    @property
    def weights(self) -> list[Weight]:
        """Its constants, each listed once."""
        values = (value for layer in self.layers for value in layer.inputs)
        return list(dict.fromkeys(value for value in values if isinstance(value, Weight)))


def convert(
    backbone: Backbone, shape: Shape, path: Path, write: Callable[[Translated, Path], None]
) -> Conversion:
    """Translate and optimise a network, and write it.

    If it has subnormal weights, a file beside it keeps them.

    Args:
        backbone: the network.
        shape: shape of an image.
        path: path of the file that names the model.
        write: writes a network to such a path.

    Raises:
        UnsupportedError: The network has no form in ONNX here.
    """
    translated = translate(backbone.graph, backbone.arrays, shape)
    unflushed, folded = fold_batch_norms(translated)
    network, flushed = flush_subnormal(unflushed)
    write(network, path)
    if not flushed:
        return Conversion(folded)
    kept = path.with_name(f"unflushed{path.suffix}")
    write(unflushed, kept)
    return Conversion(folded, flushed, kept)


def translate(graph: Graph, arrays: Mapping[str, Array], shape: Shape) -> Translated:
    """Translate a network, layer by layer under the same names.

    Args:
        graph: graph of its symbol, with ``data`` as input and a single output.
        arrays: its parameters and auxiliary states, by name.
        shape: shape of an image.

    Raises:
        UnsupportedError: An operator is not translated, or a parameter is missing.
    """
    layers: list[Layer] = []
    values: dict[tuple[int, int], Value] = {}
    shapes: dict[tuple[int, int], Shape] = {}
    for position, node in enumerate(graph.nodes):
        if node.op == "null":
            if node.name == "data":
                values[position, 0], shapes[position, 0] = node.name, (1, *shape)
            elif node.name in arrays:
                array = np.asarray(arrays[node.name], dtype=np.float32)
                values[position, 0], shapes[position, 0] = Weight(node.name, array), array.shape
            else:
                raise UnsupportedError(f"it has no {node.name}, which the network needs")
            continue
        given = [values[entry] for entry in node.inputs]
        try:
            written, found = _write(node, given, [shapes[entry] for entry in node.inputs], layers)
        except (MXNetError, UnsupportedError, ValueError) as error:
            raise UnsupportedError(f"layer {node.name} ({node.op}): {error}") from error
        for i, (value, extents) in enumerate(zip(written, found)):
            values[position, i], shapes[position, i] = value, extents
    (head,) = graph.heads
    name = graph.nodes[head[0]].name
    if values[head] != name:
        layers.append(Layer("Identity", (values[head],), (name,)))
    return Translated(tuple(layers), shape, name, shapes[head][1:])


def _write(
    node: GraphNode, inputs: Sequence[Value], shapes: Sequence[Shape], layers: list[Layer]
) -> tuple[tuple[Value, ...], tuple[Shape, ...]]:
    """Append the layers of a node; return its outputs and their shapes."""
    operator, writer = OPERATORS.get(node.op), WRITERS.get(node.op)
    if operator is None or writer is None:
        raise UnsupportedError("this operator is not translated to ONNX")
    attributes = parse(node.op, operator.attributes, node.attributes)
    _, outputs = operator.shapes(attributes, list(shapes))
    found = tuple(shape or () for shape in outputs)
    written = writer(Node(node.name, attributes, tuple(inputs), tuple(shapes), found, layers))
    return written if isinstance(written, tuple) else (written,), found


def fold_batch_norms(network: Translated) -> tuple[Translated, int]:
    """Fold each batch norm into the layer before it, computing in double precision.

    The layer before gets the name of the batch norm.

    Returns:
        The network, and the number of batch norms folded.
    """
    uses = Counter(value for layer in network.layers for value in layer.inputs)
    layers: dict[str, Layer] = {}
    folded = 0
    for layer in network.layers:
        source = layer.inputs[0]
        if isinstance(source, str) and source in layers and uses[source] == 1:
            merged = _merge(layers[source], layer)
            if merged is not None:
                del layers[source]
                layers[layer.outputs[0]] = merged
                folded += 1
                continue
        layers[layer.outputs[0]] = layer
    return replace(network, layers=tuple(layers.values())), folded


def _merge(layer: Layer, norm: Layer) -> Layer | None:
    """Return one layer for a layer and the batch norm after it; None if there is none."""
    if norm.operator != "BatchNormalization" or layer.operator not in ("Conv", "Gemm"):
        return None
    values = (*layer.inputs[1:], *norm.inputs[1:])
    weights = [value for value in values if isinstance(value, Weight)]
    if len(weights) < len(values):
        return None
    arrays = [weight.array.astype(np.float64) for weight in weights]
    weight, *bias, gamma, beta, mean, variance = arrays
    scale = gamma / np.sqrt(variance + norm.attributes["epsilon"])
    # Output channels are the first axis of both: Gemm is transposed.
    scaled = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    shifted = ((bias[0] if bias else 0) - mean) * scale + beta
    name = norm.outputs[0]
    inputs = (
        layer.inputs[0],
        Weight(weights[0].name, scaled.astype(np.float32)),
        Weight(f"{name}_bias", shifted.astype(np.float32)),
    )
    return Layer(layer.operator, inputs, norm.outputs, layer.attributes)


def flush_subnormal(network: Translated) -> tuple[Translated, int]:
    """Set subnormal weights to zero.

    Returns:
        The network, and the number of weights set to zero.
    """
    flushed: dict[Value, Value] = {}
    count = 0
    for weight in network.weights:
        if number := count_subnormal(weight.array):
            count += number
            array = np.where(np.abs(weight.array) < _TINY, np.float32(0), weight.array)
            flushed[weight] = replace(weight, array=array)
    layers = tuple(
        replace(layer, inputs=tuple(flushed.get(value, value) for value in layer.inputs))
        for layer in network.layers
    )
    return replace(network, layers=layers), count
