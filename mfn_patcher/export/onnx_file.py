"""Writing ONNX files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import checker, helper, numpy_helper

from mfn_patcher.export.onnx_graph import Translated
from mfn_patcher.export.onnx_operators import Layer, Weight

OPSET, IR_VERSION = 13, 7
"""All current runtimes read these."""

_SINGLE = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
_HALF = helper.np_dtype_to_tensor_dtype(np.dtype(np.float16))
_SUFFIX = "_half"  # suffix of values that also exist in single precision


def write(network: Translated, path: Path, *, half: bool = False) -> None:
    """Write a network.

    Args:
        network: the network.
        path: path of the file.
        half: whether to compute in half precision; input and output are in single precision.
    """
    layers = list(network.layers)
    if half:
        layers = _halve(layers, {"data", network.output})
    outputs = {output for layer in layers for output in layer.outputs}
    names = _name_weights(network.weights, {"data", *outputs})
    nodes = [
        helper.make_node(
            layer.operator,
            [names[value] if isinstance(value, Weight) else value for value in layer.inputs],
            layer.outputs,
            name=layer.outputs[0],
            **layer.attributes,
        )
        for layer in layers
    ]
    initializers = [
        numpy_helper.from_array(_in_precision(weight, half=half), name)
        for weight, name in names.items()
    ]
    graph = helper.make_graph(
        nodes,
        "mfn-patch",
        [helper.make_tensor_value_info("data", _SINGLE, ["N", *network.shape])],
        [helper.make_tensor_value_info(network.output, _SINGLE, ["N", *network.output_shape])],
        initializers,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    checker.check_model(model)
    onnx.save(model, str(path))


def _name_weights(weights: Iterable[Weight], taken: set[str]) -> dict[Weight, str]:
    """Return a unique name for each weight."""
    names: dict[Weight, str] = {}
    for weight in weights:
        name = weight.name
        while name in taken:
            name += "_"
        taken.add(name)
        names[weight] = name
    return names


def _in_precision(weight: Weight, *, half: bool) -> Any:
    if not half or weight.array.dtype != np.float32:
        return weight.array
    # Numbers that are too large become Inf, which fails the verification.
    with np.errstate(over="ignore"):
        return weight.array.astype(np.float16)


def _halve(layers: Iterable[Layer], single: set[str]) -> list[Layer]:
    """Return layers in half precision, with casts from and to values in single precision."""

    def named(value: Any) -> Any:
        return f"{value}{_SUFFIX}" if value in single else value

    found = [Layer("Cast", ("data",), (named("data"),), {"to": _HALF})]
    for layer in layers:
        inputs = tuple(map(named, layer.inputs))
        outputs = tuple(map(named, layer.outputs))
        found.append(Layer(layer.operator, inputs, outputs, layer.attributes))
        found += [
            Layer("Cast", (named(output),), (output,), {"to": _SINGLE})
            for output in layer.outputs
            if output in single
        ]
    return found
