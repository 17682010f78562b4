"""The operators: names, inputs, attributes, shapes, and the PyTorch code of each.

One table, :data:`OPERATORS`, is all that the symbol half and the compiler of programs know of an
operator. Its code is text, so that composing symbols needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import shapes
from .attributes import Attribute
from .base import MXNetError
from .shapes import Rule

Attributes = dict[str, Any]


def _one(_: Attributes) -> int:
    return 1


@dataclass(frozen=True)
class Operator:
    """What there is to know of an operator.

    Attributes:
        name: its name in a symbol file.
        inputs: the names of its inputs, in order; None if it takes any number of them, which
            ``num_args`` counts.
        attributes: its attributes by name.
        shapes: infers shapes of inputs and outputs.
        code: returns a Python expression over the names of its inputs; the second argument is
            whether a training step is computed. With several outputs it is a tuple.
        aliases: other names under which it is composed; the counter of unnamed symbols goes by
            the name that was used.
        auxiliary: how many of the last inputs are states that a training step changes.
        visible: how many outputs a symbol of it has.
        hidden: how many more outputs MXNet counts for itself, which its files show.
        skipped: the names of inputs that are absent with these attributes.
        initial: the ``__init__`` attribute of variables that are made for inputs, by input.
    """

    name: str
    inputs: tuple[str, ...] | None
    shapes: Rule
    code: Callable[[Attributes, Sequence[str], bool], str]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    auxiliary: int = 0
    visible: Callable[[Attributes], int] = _one
    hidden: Callable[[Attributes], int] = lambda _: 0
    skipped: Callable[[Attributes], tuple[str, ...]] = lambda _: ()
    initial: dict[str, str] = field(default_factory=dict)

    def input_names(self, values: Attributes) -> tuple[str, ...]:
        """Return the names of the inputs for these attributes."""
        if self.inputs is None:
            return tuple(f"arg{i}" for i in range(values["num_args"]))
        skipped = self.skipped(values)
        return tuple(name for name in self.inputs if name not in skipped)


_INT, _FLOAT, _BOOL, _SHAPE = "int", "float", "bool", "shape"
# What MXNet knows but what does not change results.
_IGNORED_GPU = {
    "workspace": Attribute(_INT, 1024),
    "cudnn_tune": Attribute(("None", "off", "limited_workspace", "fastest"), "None"),
    "cudnn_off": Attribute(_BOOL, False),
}
_BATCH_NORM_EPSILON = 0.0010000000474974513  # MXNet's default is 0.001 in single precision


def _without_bias(values: Attributes) -> tuple[str, ...]:
    return ("bias",) if values["no_bias"] else ()


def _pair(value: tuple[int, ...], default: int) -> tuple[int, int]:
    return (value[0], value[1]) if value else (default, default)


def _convolution(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    bias = "None" if values["no_bias"] else inputs[2]
    stride, pad = _pair(values["stride"], 1), _pair(values["pad"], 0)
    dilate = _pair(values["dilate"], 1)
    groups = values["num_group"]
    return f"F.conv2d({inputs[0]}, {inputs[1]}, {bias}, {stride}, {pad}, {dilate}, {groups})"


def _batch_norm(values: Attributes, inputs: Sequence[str], training: bool) -> str:
    data, gamma, beta, mean, variance = inputs
    if values["fix_gamma"]:
        gamma = "None"
    if training and not values["use_global_stats"]:
        return f"batch_norm({data}, {gamma}, {beta}, {values['eps']!r})"
    return (
        f"F.batch_norm({data}, {mean}, {variance}, {gamma}, {beta}, False, 0.0, {values['eps']!r})"
    )


def _leaky_relu(_: Attributes, inputs: Sequence[str], __: bool) -> str:
    return f"prelu({inputs[0]}, {inputs[1]})"


_ACTIVATIONS = {
    "relu": "F.relu({})",
    "sigmoid": "torch.sigmoid({})",
    "tanh": "torch.tanh({})",
    "softrelu": "F.softplus({})",
    "softsign": "F.softsign({})",
}


def _activation(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    return _ACTIVATIONS[values["act_type"]].format(inputs[0])


def _fully_connected(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    data = f"{inputs[0]}.flatten(1)" if values["flatten"] else inputs[0]
    bias = "" if values["no_bias"] else f", {inputs[2]}"
    return f"F.linear({data}, {inputs[1]}{bias})"


def _pooling(values: Attributes, inputs: Sequence[str], _: bool) -> str:
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


def _dropout(values: Attributes, inputs: Sequence[str], training: bool) -> str:
    return f"F.dropout({inputs[0]}, {values['p']!r}, True)" if training else inputs[0]


def _softmax_output(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    settings = [
        repr(values[name]) for name in ("grad_scale", "normalization", "use_ignore", "ignore_label")
    ]
    return f"softmax_output({inputs[0]}, {inputs[1]}, {', '.join(settings)})"


def _pad(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    width = values["pad_width"]
    if any(width[:4]):
        raise MXNetError("Pad is computed over height and width only")
    ends = (width[6], width[7], width[4], width[5])
    modes = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}
    value = f", {values['constant_value']!r}" if values["mode"] == "constant" else ""
    return f"F.pad({inputs[0]}, {ends}, {modes[values['mode']]!r}{value})"


def _slice(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    steps = values["step"] or (None,) * len(values["begin"])
    parts = [
        ":".join("" if part is None else str(part) for part in bounds)
        for bounds in zip(values["begin"], values["end"], steps)
    ]
    return f"{inputs[0]}[{', '.join(parts)}]"


def _slice_axis(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    axis, begin, end = values["axis"], values["begin"], values["end"]
    return f"slice_axis({inputs[0]}, {axis}, {begin}, {end})"


def _slice_channel(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    axis, parts = values["axis"], values["num_outputs"]
    pieces = f"{inputs[0]}.tensor_split({parts}, {axis})"
    if values["squeeze_axis"]:
        pieces = f"tuple(part.squeeze({axis}) for part in {pieces})"
    return pieces


def _concat(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    return f"torch.cat(({', '.join(inputs)},), {values['dim']})"


def _l2_normalization(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    return f"l2_normalize({inputs[0]}, {values['eps']!r})"


def _one_hot(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    return (
        f"one_hot({inputs[0]}, {values['depth']}, {values['on_value']!r}, {values['off_value']!r})"
    )


def _reshape(values: Attributes, inputs: Sequence[str], _: bool) -> str:
    return f"{inputs[0]}.reshape({shapes.torch_shape(values['shape'])})"


def _expression(template: str) -> Callable[[Attributes, Sequence[str], bool], str]:
    """Return code that fills the inputs, and the attributes by their names, into a template."""

    def code(values: Attributes, inputs: Sequence[str], _: bool) -> str:
        return template.format(*inputs, **{name: repr(value) for name, value in values.items()})

    return code


def _unary(name: str, template: str, *aliases: str) -> Operator:
    return Operator(name, ("data",), shapes.same, _expression(template), aliases=aliases)


def _binary(name: str, sign: str, *aliases: str) -> Operator:
    code = _expression(f"{{0}} {sign} {{1}}")
    return Operator(name, ("lhs", "rhs"), shapes.elementwise, code, aliases=aliases)


def _broadcast(name: str, template: str, *aliases: str) -> Operator:
    return Operator(name, ("lhs", "rhs"), shapes.broadcast, _expression(template), aliases=aliases)


def _scalar(name: str, template: str, *aliases: str) -> Operator:
    return Operator(
        name,
        ("data",),
        shapes.same,
        _expression(template),
        {"scalar": Attribute(_FLOAT), "is_int": Attribute(_BOOL, False)},
        aliases,
    )


_TABLE = [
    Operator(
        "Convolution",
        ("data", "weight", "bias"),
        shapes.convolution,
        _convolution,
        {
            "kernel": Attribute(_SHAPE),
            "num_filter": Attribute(_INT),
            "stride": Attribute(_SHAPE, ()),
            "dilate": Attribute(_SHAPE, ()),
            "pad": Attribute(_SHAPE, ()),
            "num_group": Attribute(_INT, 1),
            "no_bias": Attribute(_BOOL, False),
            "layout": Attribute(("None", "NCHW"), "NCHW"),
            **_IGNORED_GPU,
        },
        skipped=_without_bias,
    ),
    Operator(
        "BatchNorm",
        ("data", "gamma", "beta", "moving_mean", "moving_var"),
        shapes.batch_norm,
        _batch_norm,
        {
            "eps": Attribute(_FLOAT, _BATCH_NORM_EPSILON),
            "momentum": Attribute(_FLOAT, 0.9),
            "fix_gamma": Attribute(_BOOL, True),
            "use_global_stats": Attribute(_BOOL, False),
            "output_mean_var": Attribute(_BOOL, False, (False,)),
            "axis": Attribute(_INT, 1, (1,)),
            "cudnn_off": Attribute(_BOOL, False),
        },
        auxiliary=2,
        hidden=lambda _: 2,
        initial={"moving_mean": '["zero", {}]', "moving_var": '["one", {}]'},
    ),
    Operator(
        "LeakyReLU",
        ("data", "gamma"),
        shapes.prelu,
        _leaky_relu,
        {
            "act_type": Attribute(
                ("elu", "gelu", "leaky", "prelu", "rrelu", "selu"), "leaky", ("prelu",)
            ),
            "slope": Attribute(_FLOAT, 0.25),
            "lower_bound": Attribute(_FLOAT, 0.125),
            "upper_bound": Attribute(_FLOAT, 0.334),
        },
        initial={"gamma": '["Constant", {"value": 0.25}]'},
    ),
    Operator(
        "Activation",
        ("data",),
        shapes.same,
        _activation,
        {"act_type": Attribute(tuple(_ACTIVATIONS))},
    ),
    Operator(
        "FullyConnected",
        ("data", "weight", "bias"),
        shapes.fully_connected,
        _fully_connected,
        {
            "num_hidden": Attribute(_INT),
            "no_bias": Attribute(_BOOL, False),
            "flatten": Attribute(_BOOL, True),
        },
        skipped=_without_bias,
    ),
    Operator(
        "Pooling",
        ("data",),
        shapes.pooling,
        _pooling,
        {
            "kernel": Attribute(_SHAPE, ()),
            "pool_type": Attribute(("avg", "lp", "max", "sum"), "max", ("avg", "max")),
            "global_pool": Attribute(_BOOL, False),
            "pooling_convention": Attribute(("full", "same", "valid"), "valid", ("full", "valid")),
            "stride": Attribute(_SHAPE, ()),
            "pad": Attribute(_SHAPE, ()),
            "count_include_pad": Attribute(_BOOL, True),
            "layout": Attribute(("None", "NCHW"), "NCHW"),
            "cudnn_off": Attribute(_BOOL, False),
        },
        # The indices of a maximum are an output of MXNet's on the CPU.
        hidden=lambda values: int(values["pool_type"] == "max"),
    ),
    Operator(
        "Dropout",
        ("data",),
        shapes.same,
        _dropout,
        {
            "p": Attribute(_FLOAT, 0.5),
            "mode": Attribute(("always", "training"), "training", ("training",)),
            "axes": Attribute(_SHAPE, (), ((),)),
            "cudnn_off": Attribute(_BOOL, False),
        },
        hidden=lambda _: 1,
    ),
    Operator(
        "Concat",
        None,
        shapes.concat,
        _concat,
        {"num_args": Attribute(_INT), "dim": Attribute(_INT, 1)},
        ("concat",),
    ),
    Operator(
        "add_n",
        None,
        shapes.add_n,
        lambda _, inputs, __: " + ".join(inputs),
        {"num_args": Attribute(_INT)},
        ("ElementWiseSum",),
    ),
    Operator(
        "SliceChannel",
        ("data",),
        shapes.slice_channel,
        _slice_channel,
        {
            "num_outputs": Attribute(_INT),
            "axis": Attribute(_INT, 1),
            "squeeze_axis": Attribute(_BOOL, False),
        },
        ("split",),
        visible=lambda values: int(values["num_outputs"]),
    ),
    Operator(
        "slice_axis",
        ("data",),
        shapes.slice_axis,
        _slice_axis,
        {
            "axis": Attribute(_INT),
            "begin": Attribute(_INT),
            "end": Attribute("optional int"),
        },
    ),
    Operator(
        "slice",
        ("data",),
        shapes.slice_all,
        _slice,
        {
            "begin": Attribute(_SHAPE),
            "end": Attribute(_SHAPE),
            "step": Attribute(_SHAPE, ()),
        },
        ("crop",),
    ),
    Operator(
        "Pad",
        ("data",),
        shapes.pad,
        _pad,
        {
            "mode": Attribute(("constant", "edge", "reflect")),
            "pad_width": Attribute(_SHAPE),
            "constant_value": Attribute(_FLOAT, 0.0),
        },
        ("pad",),
    ),
    Operator(
        "L2Normalization",
        ("data",),
        shapes.same,
        _l2_normalization,
        {
            # In single precision, as MXNet has it.
            "eps": Attribute(_FLOAT, 1.000000013351432e-10),
            "mode": Attribute(("channel", "instance", "spatial"), "instance", ("instance",)),
        },
        hidden=lambda _: 1,
    ),
    Operator(
        "SoftmaxOutput",
        ("data", "label"),
        shapes.softmax_output,
        _softmax_output,
        {
            "grad_scale": Attribute(_FLOAT, 1.0),
            "ignore_label": Attribute(_FLOAT, -1.0),
            "multi_output": Attribute(_BOOL, False, (False,)),
            "use_ignore": Attribute(_BOOL, False),
            "preserve_shape": Attribute(_BOOL, False, (False,)),
            "normalization": Attribute(("batch", "null", "valid"), "null"),
            "out_grad": Attribute(_BOOL, False, (False,)),
            "smooth_alpha": Attribute(_FLOAT, 0.0, (0.0,)),
        },
    ),
    Operator(
        "one_hot",
        ("indices",),
        shapes.one_hot,
        _one_hot,
        {
            "depth": Attribute(_INT),
            "on_value": Attribute(_FLOAT, 1.0),
            "off_value": Attribute(_FLOAT, 0.0),
            "dtype": Attribute(("float32",), "float32"),
        },
    ),
    Operator(
        "pick",
        ("data", "index"),
        shapes.pick,
        _expression("pick({0}, {1}, {axis})"),
        {
            "axis": Attribute("optional int", -1),
            "keepdims": Attribute(_BOOL, False, (False,)),
            "mode": Attribute(("clip", "wrap"), "clip", ("clip",)),
        },
    ),
    Operator(
        "where",
        ("condition", "x", "y"),
        shapes.where,
        _expression("torch.where({0} != 0, {1}, {2})"),
    ),
    Operator(
        "expand_dims",
        ("data",),
        shapes.expand_dims,
        _expression("{0}.unsqueeze({axis})"),
        {"axis": Attribute(_INT)},
    ),
    Operator(
        "Reshape",
        ("data",),
        shapes.reshape,
        _reshape,
        {
            "shape": Attribute(_SHAPE),
            "reverse": Attribute(_BOOL, False, (False,)),
        },
        ("reshape",),
    ),
    Operator(
        "Flatten", ("data",), shapes.flatten, _expression("{0}.flatten(1)"), aliases=("flatten",)
    ),
    _unary("BlockGrad", "{0}.detach()", "stop_gradient"),
    _unary("_copy", "{0}", "identity"),
    _unary("negative", "-{0}"),
    _unary("relu", "F.relu({0})"),
    _unary("sqrt", "torch.sqrt({0})"),
    _unary("square", "torch.square({0})"),
    _unary("cos", "torch.cos({0})"),
    _unary("arccos", "torch.acos({0})"),
    _unary("abs", "torch.abs({0})"),
    _binary("elemwise_add", "+", "_Plus", "_plus", "_add"),
    _binary("elemwise_sub", "-", "_Minus", "_minus", "_sub"),
    _binary("elemwise_mul", "*", "_Mul", "_mul"),
    _binary("elemwise_div", "/", "_Div", "_div"),
    _broadcast("broadcast_add", "{0} + {1}", "broadcast_plus"),
    _broadcast("broadcast_sub", "{0} - {1}", "broadcast_minus"),
    _broadcast("broadcast_mul", "{0} * {1}"),
    _broadcast("broadcast_div", "{0} / {1}"),
    _broadcast("broadcast_maximum", "torch.maximum({0}, {1})"),
    _broadcast("broadcast_minimum", "torch.minimum({0}, {1})"),
    _scalar("_plus_scalar", "{0} + {scalar}", "_PlusScalar"),
    _scalar("_minus_scalar", "{0} - {scalar}", "_MinusScalar"),
    _scalar("_rminus_scalar", "{scalar} - {0}", "_RMinusScalar"),
    _scalar("_mul_scalar", "{0} * {scalar}", "_MulScalar"),
    _scalar("_div_scalar", "{0} / {scalar}", "_DivScalar"),
    _scalar("_rdiv_scalar", "{scalar} / {0}", "_RDivScalar"),
    _scalar("_maximum_scalar", "{0}.clamp(min={scalar})", "_MaximumScalar"),
    _scalar("_minimum_scalar", "{0}.clamp(max={scalar})", "_MinimumScalar"),
]

OPERATORS = {operator.name: operator for operator in _TABLE}
"""The operators by their names in symbol files."""

COMPOSERS = {
    **{alias: operator for operator in _TABLE for alias in operator.aliases},
    **OPERATORS,
}
"""The operators by the names under which symbols are composed."""
