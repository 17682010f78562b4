"""The PyTorch code of operators, as expressions over their inputs.

Each function takes the attribute values of a node, the expressions of its inputs, and whether a
training step is computed; it returns a Python expression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import shapes
from .base import MXNetError

Attributes = dict[str, Any]
Code = Callable[[Attributes, Sequence[str], bool], str]


def expression(template: str) -> Code:
    """Return code from a template, which inserts inputs by position and attributes by name."""

    def code(values: Attributes, inputs: Sequence[str], _: bool) -> str:
        return template.format(*inputs, **{name: repr(value) for name, value in values.items()})

    return code


def _pair(value: tuple[int, ...], default: int) -> tuple[int, int]:
    return (value[0], value[1]) if value else (default, default)


def convolution(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    """Convolution; depthwise with one group per channel."""
    bias = "None" if values["no_bias"] else inputs[2]
    stride, pad = _pair(values["stride"], 1), _pair(values["pad"], 0)
    dilate = _pair(values["dilate"], 1)
    groups = values["num_group"]
    return f"conv2d({inputs[0]}, {inputs[1]}, {bias}, {stride}, {pad}, {dilate}, {groups})"


def batch_norm(values: Attributes, inputs: Sequence[str], training: bool) -> str:
    """Batch normalisation with the statistics of the batch, or with the moving averages."""
    data, gamma, beta, mean, variance = inputs
    if training and not values["use_global_stats"]:
        return f"batch_norm({data}, {gamma}, {beta}, {values['eps']!r})"
    return (
        f"F.batch_norm({data}, {mean}, {variance}, {gamma}, {beta}, False, 0.0, {values['eps']!r})"
    )


ACTIVATIONS = {
    "relu": "F.relu({})",
    "sigmoid": "torch.sigmoid({})",
    "tanh": "torch.tanh({})",
    "softrelu": "F.softplus({})",
    "softsign": "F.softsign({})",
}


def activation(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    """Elementwise activation function."""
    return ACTIVATIONS[values["act_type"]].format(inputs[0])


def fully_connected(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    """Matrix product with the flattened data."""
    data = f"{inputs[0]}.flatten(1)" if values["flatten"] else inputs[0]
    bias = "" if values["no_bias"] else f", {inputs[2]}"
    return f"linear({data}, {inputs[1]}{bias})"


def pooling(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    """Maximum or average of windows, or of whole images."""
    data, average = inputs[0], values["pool_type"] == "avg"
    if values["global_pool"]:
        return f"{data}.mean((2, 3), True)" if average else f"{data}.amax((2, 3), True)"
    kernel = values["kernel"]
    stride, pad = _pair(values["stride"], 1), _pair(values["pad"], 0)
    ceil = values["pooling_convention"] == "full"
    if average:
        counted = values["count_include_pad"]
        return f"F.avg_pool2d({data}, {kernel}, {stride}, {pad}, {ceil}, {counted})"
    return f"F.max_pool2d({data}, {kernel}, {stride}, {pad}, 1, {ceil})"


def dropout(values: Attributes, inputs: Sequence[str], training: bool) -> str:
    """Dropout, in training only."""
    return f"F.dropout({inputs[0]}, {values['p']!r}, True)" if training else inputs[0]


def pad(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    """Padding of height and width."""
    width = values["pad_width"]
    if any(width[:4]):
        raise MXNetError("Pad is only supported for height and width")
    ends = (width[6], width[7], width[4], width[5])
    modes = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}
    value = f", {values['constant_value']!r}" if values["mode"] == "constant" else ""
    return f"F.pad({inputs[0]}, {ends}, {modes[values['mode']]!r}{value})"


def slice_ranges(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    """Ranges of the first axes."""
    steps = values["step"] or (None,) * len(values["begin"])
    parts = [
        ":".join("" if part is None else str(part) for part in bounds)
        for bounds in zip(values["begin"], values["end"], steps)
    ]
    return f"{inputs[0]}[{', '.join(parts)}]"


def slice_channel(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    """Split of an axis into equal parts."""
    axis, parts = values["axis"], values["num_outputs"]
    pieces = f"{inputs[0]}.tensor_split({parts}, {axis})"
    if values["squeeze_axis"]:
        pieces = f"tuple(part.squeeze({axis}) for part in {pieces})"
    return pieces


def concat(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    """Concatenation along an axis."""
    return f"torch.cat(({', '.join(inputs)},), {values['dim']})"


def reshape(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    """Change of shape."""
    return f"{inputs[0]}.reshape({shapes.torch_shape(values['shape'])})"
