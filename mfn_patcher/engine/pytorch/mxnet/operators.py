"""The operators: names, inputs, attributes, shapes, and the PyTorch code of each.

One table, :data:`OPERATORS`, contains everything that symbols, the compiler of programs and the
memory estimate know about an operator. The code is text, so composing symbols needs no PyTorch.

To add an operator, add an entry to ``_TABLE``; ``mxnet.symbol.NAME`` then exists, and networks
that use it can be trained. An operator of one array and no attributes is one line::

    _unary("sigmoid", "torch.sigmoid({0})"),

Any other entry names the inputs, the attributes with MXNet's defaults, a shape rule and the code:

* ``shapes.py`` has the shape rules, such as ``same``, ``elementwise`` and ``broadcast``.
* ``expressions.expression("...")`` is a template of the code, which inserts inputs by position and
  attributes by name. If the code depends on the attributes, add a function to ``expressions.py``.
* If one expression of PyTorch's functions does not suffice, add a function to ``kernels.py``; the
  code can call every public function of that module by its name.

Then append a case to ``tests/engine/programs/numeric_cases.py`` (inputs are drawn by position, so a
case in between would change those after it), record what MXNet computes for it
with ``python -m tests.engine.record``, and run ``pytest tests/engine/test_operators.py``. If
exported networks should contain it, add a writer to ``mfn_patcher/export/onnx_operators.py``.
"""

from __future__ import annotations

from . import expressions, shapes
from .attributes import Attribute
from .declaration import Operator
from .expressions import Attributes

_INT, _FLOAT, _BOOL, _SHAPE = "int", "float", "bool", "shape"
# Attributes of MXNet that do not change results.
_IGNORED_GPU = {
    "workspace": Attribute(_INT, 1024),
    "cudnn_tune": Attribute(("None", "off", "limited_workspace", "fastest"), "None"),
    "cudnn_off": Attribute(_BOOL, False),
}
_BATCH_NORM_EPSILON = 0.0010000000474974513  # MXNet's default is 0.001 in single precision


def _without_bias(values: Attributes) -> tuple[str, ...]:
    return ("bias",) if values["no_bias"] else ()


def _unary(name: str, template: str, *aliases: str) -> Operator:
    return Operator(name, ("data",), shapes.same, expressions.expression(template), aliases=aliases)


def _binary(name: str, sign: str, *aliases: str) -> Operator:
    code = expressions.expression(f"{{0}} {sign} {{1}}")
    return Operator(name, ("lhs", "rhs"), shapes.elementwise, code, aliases=aliases)


def _broadcast(name: str, template: str, *aliases: str) -> Operator:
    return Operator(
        name, ("lhs", "rhs"), shapes.broadcast, expressions.expression(template), aliases=aliases
    )


def _scalar(name: str, template: str, *aliases: str) -> Operator:
    return Operator(
        name,
        ("data",),
        shapes.same,
        expressions.expression(template),
        {"scalar": Attribute(_FLOAT), "is_int": Attribute(_BOOL, False)},
        aliases,
    )


_TABLE = [
    Operator(
        "Convolution",
        ("data", "weight", "bias"),
        shapes.convolution,
        expressions.convolution,
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
        saves_input=True,
    ),
    Operator(
        "BatchNorm",
        ("data", "gamma", "beta", "moving_mean", "moving_var"),
        shapes.batch_norm,
        expressions.batch_norm,
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
        saves_input=True,
    ),
    Operator(
        "LeakyReLU",
        ("data", "gamma"),
        shapes.prelu,
        expressions.expression("prelu({0}, {1})"),
        {
            "act_type": Attribute(
                ("elu", "gelu", "leaky", "prelu", "rrelu", "selu"), "leaky", ("prelu",)
            ),
            "slope": Attribute(_FLOAT, 0.25),
            "lower_bound": Attribute(_FLOAT, 0.125),
            "upper_bound": Attribute(_FLOAT, 0.334),
        },
        initial={"gamma": '["Constant", {"value": 0.25}]'},
        saves_input=True,
    ),
    Operator(
        "Activation",
        ("data",),
        shapes.same,
        expressions.activation,
        {"act_type": Attribute(tuple(expressions.ACTIVATIONS))},
        saves_input=True,
    ),
    Operator(
        "FullyConnected",
        ("data", "weight", "bias"),
        shapes.fully_connected,
        expressions.fully_connected,
        {
            "num_hidden": Attribute(_INT),
            "no_bias": Attribute(_BOOL, False),
            "flatten": Attribute(_BOOL, True),
        },
        skipped=_without_bias,
        saves_input=True,
    ),
    Operator(
        "Pooling",
        ("data",),
        shapes.pooling,
        expressions.pooling,
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
        # On the CPU, the indices of the maxima are an output of MXNet's operator.
        hidden=lambda values: int(values["pool_type"] == "max"),
        saves_input=True,
    ),
    Operator(
        "Dropout",
        ("data",),
        shapes.same,
        expressions.dropout,
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
        expressions.concat,
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
        expressions.slice_channel,
        {
            "num_outputs": Attribute(_INT),
            "axis": Attribute(_INT, 1),
            "squeeze_axis": Attribute(_BOOL, False),
        },
        ("split",),
        outputs=lambda values: int(values["num_outputs"]),
    ),
    Operator(
        "slice_axis",
        ("data",),
        shapes.slice_axis,
        expressions.expression("slice_axis({0}, {axis}, {begin}, {end})"),
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
        expressions.slice_ranges,
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
        expressions.pad,
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
        expressions.expression("l2_normalize({0}, {eps})"),
        {
            # MXNet's default is 1e-10 in single precision.
            "eps": Attribute(_FLOAT, 1.000000013351432e-10),
            "mode": Attribute(("channel", "instance", "spatial"), "instance", ("instance",)),
        },
        hidden=lambda _: 1,
    ),
    Operator(
        "SoftmaxOutput",
        ("data", "label"),
        shapes.softmax_output,
        expressions.expression(
            "softmax_output({0}, {1}, {grad_scale}, {normalization}, {use_ignore}, {ignore_label})"
        ),
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
        expressions.expression("one_hot({0}, {depth}, {on_value}, {off_value})"),
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
        expressions.expression("pick({0}, {1}, {axis})"),
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
        expressions.expression("torch.where({0} != 0, {1}, {2})"),
    ),
    Operator(
        "expand_dims",
        ("data",),
        shapes.expand_dims,
        expressions.expression("{0}.unsqueeze({axis})"),
        {"axis": Attribute(_INT)},
    ),
    Operator(
        "Reshape",
        ("data",),
        shapes.reshape,
        expressions.reshape,
        {
            "shape": Attribute(_SHAPE),
            "reverse": Attribute(_BOOL, False, (False,)),
        },
        ("reshape",),
    ),
    Operator(
        "Flatten",
        ("data",),
        shapes.flatten,
        expressions.expression("{0}.flatten(1)"),
        aliases=("flatten",),
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
    # Where the data equals the scalar, the gradient is that of the data, as in MXNet. torch.clamp
    # would not do: its gradient there changed in PyTorch 2.14.
    _scalar("_maximum_scalar", "torch.where({0} < {scalar}, {scalar}, {0})", "_MaximumScalar"),
    _scalar("_minimum_scalar", "torch.where({0} > {scalar}, {scalar}, {0})", "_MinimumScalar"),
]

OPERATORS = {operator.name: operator for operator in _TABLE}
"""The operators, by their names in symbol files."""

COMPOSERS = {
    **{alias: operator for operator in _TABLE for alias in operator.aliases},
    **OPERATORS,
}
"""The operators, by all names under which symbols are composed."""
