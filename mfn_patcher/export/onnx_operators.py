"""How each of MXNet's operators is written in ONNX, operator set 13.

Attributes with their defaults and shapes are in the engine's table of operators. Operators of
losses are not needed here, because they come after the embedding.

To add an operator, write a function that appends its layers and add it to `WRITERS`. A test asks
for a case of each operator there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Weight:
    """A constant of a network.

    Attributes:
        name: its name in the file, unless another weight has the same.
        array: its values, float32 or int64.
    """

    name: str
    array: Array


Value = str | Weight
"""An input of a layer: the name of another layer's output, or a constant."""


@dataclass(frozen=True)
class Layer:
    """A node of an ONNX graph.

    Attributes:
        operator: ONNX's name of the operator.
        inputs: inputs in ONNX's order.
        outputs: names of its outputs.
        attributes: ONNX's attributes.
    """

    operator: str
    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


class UnsupportedError(Exception):
    """A node cannot be translated to ONNX; the text says why."""


@dataclass(frozen=True)
class Node:
    """A node of MXNet's graph, to be written as layers.

    Attributes:
        name: name of the node and of its output.
        values: its attributes, including defaults.
        inputs: inputs in MXNet's order.
        input_shapes: shapes of the inputs, with one image on the first axis.
        output_shapes: shapes of the outputs.
        layers: list that its layers are appended to.
    """

    name: str
    values: dict[str, Any]
    inputs: tuple[Value, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    layers: list[Layer]

    def add(self, operator: str, *inputs: Value, part: str = "", **attributes: Any) -> str:
        """Append a layer.

        Args:
            operator: ONNX's name of the operator.
            inputs: inputs of the layer.
            part: suffix of an intermediate result; empty for the output of the node.
            attributes: ONNX's attributes.

        Returns:
            The name of its output.
        """
        output = f"{self.name}_{part}" if part else self.name
        self.layers.append(Layer(operator, inputs, (output,), attributes))
        return output

    def constant(self, part: str, numbers: object, kind: str = "float32") -> Weight:
        """Return a constant that belongs to the node."""
        return Weight(f"{self.name}_{part}", np.asarray(numbers, dtype=kind))

    def whole_numbers(self, part: str, numbers: Sequence[int]) -> Weight:
        """Return a constant of integers: ONNX takes axes, bounds and shapes as inputs."""
        return self.constant(part, numbers, "int64")


Writer = Callable[[Node], "Value | tuple[Value, ...]"]
"""Appends the layers of a node and returns its output or outputs."""

_MATRIX = 2  # axes
_LAST = np.iinfo(np.int64).max  # the end of an axis if none is given


def _pair(value: tuple[int, ...], default: int) -> tuple[int, int]:
    return (value[0], value[1]) if value else (default, default)


def _convolution(node: Node) -> Value:
    values = node.values
    return node.add(
        "Conv",
        *node.inputs,
        kernel_shape=values["kernel"],
        strides=_pair(values["stride"], 1),
        pads=2 * _pair(values["pad"], 0),
        dilations=_pair(values["dilate"], 1),
        group=values["num_group"],
    )


def _batch_norm(node: Node) -> Value:
    data, gamma, *others = node.inputs
    if node.values["fix_gamma"]:
        # MXNet computes with 1, whatever value the file has.
        gamma = node.constant("ones", np.ones(node.input_shapes[1]))
    return node.add("BatchNormalization", data, gamma, *others, epsilon=node.values["eps"])


def _leaky_relu(node: Node) -> Value:
    data, gamma = node.inputs
    if not isinstance(gamma, Weight):
        raise UnsupportedError("its slopes are not parameters but computed")
    # ONNX broadcasts slopes along the last axis, MXNet along the second.
    shape = (-1, *[1] * (len(node.input_shapes[0]) - 2))
    return node.add("PRelu", data, Weight(gamma.name, gamma.array.reshape(shape)))


_ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softrelu": "Softplus",
    "softsign": "Softsign",
}


def _activation(node: Node) -> Value:
    return node.add(_ACTIVATIONS[node.values["act_type"]], *node.inputs)


def _fully_connected(node: Node) -> Value:
    data, weight, *bias = node.inputs
    already = len(node.input_shapes[0]) == _MATRIX
    if already or node.values["flatten"]:
        if not already:
            data = node.add("Flatten", data, part="data_flattened", axis=1)
        return node.add("Gemm", data, weight, *bias, transB=1)
    turned = node.add("Transpose", weight, part="weight_transposed", perm=(1, 0))
    if not bias:
        return node.add("MatMul", data, turned)
    return node.add("Add", node.add("MatMul", data, turned, part="product"), *bias)


def _pooling(node: Node) -> Value:
    values, average = node.values, node.values["pool_type"] == "avg"
    if values["global_pool"]:
        return node.add("GlobalAveragePool" if average else "GlobalMaxPool", *node.inputs)
    kernel = values["kernel"]
    stride, pad = _pair(values["stride"], 1), _pair(values["pad"], 0)
    sides, windows = node.input_shapes[0][2:], node.output_shapes[0][2:]
    # With the convention "full", the last windows reach beyond the padding.
    beyond = tuple(
        max(0, (count - 1) * s + k - side - 2 * p)
        for side, count, k, s, p in zip(sides, windows, kernel, stride, pad)
    )
    pads = (*pad, *(p + b for p, b in zip(pad, beyond)))
    if any(p >= k for p, k in zip(pads, 2 * kernel)):
        raise UnsupportedError("one of its windows is entirely in the padding")
    settings = {"kernel_shape": kernel, "strides": stride, "pads": pads}
    if not average:
        return node.add("MaxPool", *node.inputs, **settings)
    counted = values["count_include_pad"]
    settings["count_include_pad"] = int(counted)
    if not (counted and any(beyond)):
        return node.add("AveragePool", *node.inputs, **settings)
    # MXNet counts the padding but nothing beyond it.
    whole = node.add("AveragePool", *node.inputs, part="whole", **settings)
    down, across = (
        np.array([k / (min(i * s + k, side + 2 * p) - i * s) for i in range(count)])
        for side, count, k, s, p in zip(sides, windows, kernel, stride, pad)
    )
    return node.add("Mul", whole, node.constant("shares", down[:, None] * across))


def _concat(node: Node) -> Value:
    return node.add("Concat", *node.inputs, axis=node.values["dim"])


def _slice_channel(node: Node) -> tuple[Value, ...]:
    axis, squeeze = node.values["axis"], node.values["squeeze_axis"]
    outputs = tuple(f"{node.name}_output{i}" for i in range(node.values["num_outputs"]))
    parts = tuple(f"{output}_part" for output in outputs) if squeeze else outputs
    node.layers.append(Layer("Split", node.inputs, parts, {"axis": axis}))
    if squeeze:
        axes = node.whole_numbers("axes", [axis])
        node.layers.extend(
            Layer("Squeeze", (part, axes), (output,)) for part, output in zip(parts, outputs)
        )
    return outputs


def _bounds(
    node: Node, begins: Sequence[int | None], ends: Sequence[int | None]
) -> tuple[Weight, Weight]:
    return (
        node.whole_numbers("begins", [begin or 0 for begin in begins]),
        node.whole_numbers("ends", [_LAST if end is None else end for end in ends]),
    )


def _slice_axis(node: Node) -> Value:
    values = node.values
    bounds = _bounds(node, [values["begin"]], [values["end"]])
    return node.add("Slice", *node.inputs, *bounds, node.whole_numbers("axes", [values["axis"]]))


def _slice(node: Node) -> Value:
    values = node.values
    count = len(values["begin"])
    steps = values["step"] or (None,) * count
    return node.add(
        "Slice",
        *node.inputs,
        *_bounds(node, values["begin"], values["end"]),
        node.whole_numbers("axes", range(count)),
        node.whole_numbers("steps", [step or 1 for step in steps]),
    )


def _pad(node: Node) -> Value:
    width, mode = node.values["pad_width"], node.values["mode"]
    pads = node.whole_numbers("pads", [*width[0::2], *width[1::2]])
    filling = [node.constant("filling", node.values["constant_value"])]
    return node.add("Pad", *node.inputs, pads, *filling[: mode == "constant"], mode=mode)


def _l2_normalization(node: Node) -> Value:
    axes = list(range(1, len(node.input_shapes[0])))
    squares = node.add("ReduceSumSquare", *node.inputs, part="squares", axes=axes, keepdims=1)
    sums = node.add("Add", squares, node.constant("eps", node.values["eps"]), part="sums")
    return node.add("Div", *node.inputs, node.add("Sqrt", sums, part="norms"))


def _square(node: Node) -> Value:
    return node.add("Mul", *node.inputs, *node.inputs)


def _expand_dims(node: Node) -> Value:
    return node.add("Unsqueeze", *node.inputs, node.whole_numbers("axes", [node.values["axis"]]))


def _reshape(node: Node) -> Value:
    return node.add("Reshape", *node.inputs, node.whole_numbers("shape", node.values["shape"]))


def _flatten(node: Node) -> Value:
    return node.add("Flatten", *node.inputs, axis=1)


def _nothing(node: Node) -> Value:
    """Write an operator that does nothing in inference."""
    return node.inputs[0]


def _same(operator: str) -> Writer:
    """Return a writer for an operator that ONNX has, with the same inputs and no attributes."""
    return lambda node: node.add(operator, *node.inputs)


def _with_scalar(operator: str, *, reverse: bool = False) -> Writer:
    """Return a writer for an operator of an array and a number; `reverse` swaps the two."""

    def write(node: Node) -> Value:
        inputs = (*node.inputs, node.constant("scalar", node.values["scalar"]))
        return node.add(operator, *(inputs[::-1] if reverse else inputs))

    return write


WRITERS: dict[str, Writer] = {
    "Activation": _activation,
    "BatchNorm": _batch_norm,
    "BlockGrad": _nothing,
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": _nothing,
    "Flatten": _flatten,
    "FullyConnected": _fully_connected,
    "L2Normalization": _l2_normalization,
    "LeakyReLU": _leaky_relu,
    "Pad": _pad,
    "Pooling": _pooling,
    "Reshape": _reshape,
    "SliceChannel": _slice_channel,
    "_copy": _nothing,
    "_div_scalar": _with_scalar("Div"),
    "_maximum_scalar": _with_scalar("Max"),
    "_minimum_scalar": _with_scalar("Min"),
    "_minus_scalar": _with_scalar("Sub"),
    "_mul_scalar": _with_scalar("Mul"),
    "_plus_scalar": _with_scalar("Add"),
    "_rdiv_scalar": _with_scalar("Div", reverse=True),
    "_rminus_scalar": _with_scalar("Sub", reverse=True),
    "abs": _same("Abs"),
    "add_n": _same("Sum"),
    "broadcast_add": _same("Add"),
    "broadcast_div": _same("Div"),
    "broadcast_maximum": _same("Max"),
    "broadcast_minimum": _same("Min"),
    "broadcast_mul": _same("Mul"),
    "broadcast_sub": _same("Sub"),
    "elemwise_add": _same("Add"),
    "elemwise_div": _same("Div"),
    "elemwise_mul": _same("Mul"),
    "elemwise_sub": _same("Sub"),
    "expand_dims": _expand_dims,
    "negative": _same("Neg"),
    "relu": _same("Relu"),
    "slice": _slice,
    "slice_axis": _slice_axis,
    "sqrt": _same("Sqrt"),
    "square": _square,
}
"""Writers by MXNet's names of the operators."""
