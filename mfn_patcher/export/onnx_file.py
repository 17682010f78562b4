"""ONNX files."""

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
"""What every runtime of the last years reads."""

_SINGLE = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
_HALF = helper.np_dtype_to_tensor_dtype(np.dtype(np.float16))
_SUFFIX = "_half"  # ends the names of values that are there in single precision too


def write(network: Translated, path: Path, *, half: bool = False, every: bool = False) -> None:
    """Write a network.

    Args:
        network: the network.
        path: the file to write.
        half: compute in half precision, between inputs and outputs of single precision.
        every: make all layers outputs, not the last one alone.
    """
    outputs = [output for layer in network.layers for output in layer.outputs]
    outputs = [network.output, *(o for o in outputs if every and o != network.output)]
    layers = _halve(network.layers, {"data", *outputs}) if half else list(network.layers)
    names = _name_weights(network.weights, {"data", *_outputs(layers)})
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
    # The shapes of other layers are for the runtime to find.
    shapes: dict[str, Any] = {network.output: ["N", *network.output_shape]}
    graph = helper.make_graph(
        nodes,
        "mfn-patch",
        [helper.make_tensor_value_info("data", _SINGLE, ["N", *network.shape])],
        [helper.make_tensor_value_info(output, _SINGLE, shapes.get(output)) for output in outputs],
        initializers,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    if not every:
        checker.check_model(model)
    onnx.save(model, str(path))


def _outputs(layers: Iterable[Layer]) -> set[str]:
    return {output for layer in layers for output in layer.outputs}


def _name_weights(weights: Iterable[Weight], taken: set[str]) -> dict[Weight, str]:
    """Return names, each used once."""
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
    # What half precision can't hold becomes infinite, and the proof refuses it.
    with np.errstate(over="ignore"):
        return weight.array.astype(np.float16)


def _halve(layers: Iterable[Layer], single: set[str]) -> list[Layer]:
    """Return layers in half precision, and casts from and to what is in single precision."""

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
