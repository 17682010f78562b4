"""Cases: operators that move numbers, and the operators of losses."""

import math
from collections.abc import Callable
from typing import Any

from tests.engine.programs.operator_cases import case, data, label, sym

# Shapes
pair = [sym.Variable("a"), sym.Variable("b")]
case("Concat", sym.Concat(*pair), {"a": (2, 1, 2, 3), "b": (2, 3, 2, 3)})
case("Concat 2-d dim=1", sym.Concat(*pair, dim=1), {"a": (2, 1), "b": (2, 3)})
case("SliceChannel", sym.SliceChannel(data, num_outputs=3, axis=1), {"data": (2, 6, 2, 2)})
case("slice_axis", sym.slice_axis(data, axis=1, begin=1, end=3), {"data": (2, 4, 2, 2)})
case("slice", sym.slice(data, begin=(None, None, 1, 1), end=(None,) * 4), {"data": (2, 2, 3, 4)})
for width in ((0, 0, 0, 0, 1, 0, 1, 0), (0, 0, 0, 0, 0, 1, 0, 1)):
    case(
        f"Pad {width}",
        sym.Pad(data, mode="constant", constant_value=0, pad_width=width),
        {"data": (2, 2, 2, 3)},
    )
case("expand_dims", sym.expand_dims(data, 1), {"data": (5,)})
case("_copy", sym.identity(data), {"data": (2, 3)})

# Arithmetic
for number in (2, 3):
    variables = [sym.Variable(f"x{i}") for i in range(number)]
    case(
        f"add_n of {number}",
        sym.ElementWiseSum(*variables),
        {f"x{i}": (2, 3) for i in range(number)},
    )
left, right = pair
for name, symbol in {
    "elemwise_add": left + right,
    "elemwise_sub": left - right,
    "elemwise_mul": left * right,
    "elemwise_mul with itself": left * left,
    "elemwise_add named": sym.elemwise_add(left, right),
    "broadcast_mul": sym.broadcast_mul(left, right),
}.items():
    case(name, symbol, {"a": (2, 3)} if "itself" in name else {"a": (2, 3), "b": (2, 3)})
case("broadcast_mul of a column", sym.broadcast_mul(*pair), {"a": (3, 4), "b": (3, 1)})
case("broadcast_mul of channels", sym.broadcast_mul(*pair), {"a": (2, 3, 2, 2), "b": (2, 3, 1, 1)})
for name, symbol in {
    "_plus_scalar": data + 0.5,
    "_minus_scalar": data - 127.5,
    "_minus_scalar of a negative one": data - -0.8775825618903726,
    "_rminus_scalar": 1.0 - data,
    "_mul_scalar": data * 0.0078125,
    "_mul_scalar from the left": 0.479425538604203 * data,
    "_div_scalar": data / 64.0,
}.items():
    case(name, symbol, {"data": (2, 3)})
case("sqrt", sym.sqrt(data), arrays={"data": [0.25, 1.5, 2.0, 1e-6]})
case("arccos", sym.arccos(data), arrays={"data": [-0.875, -0.25, 0.0, 0.5, 0.984375]})
case("cos", sym.cos(data), {"data": (7,)})
case(
    "where",
    sym.where(sym.Variable("condition"), *pair),
    {"a": (6,), "b": (6,)},
    {"condition": [0.0, 1.0, -2.0, 0.5, -0.0, 0.0]},
)

# Labels, including fractions and labels outside the classes.
LABELS = [0.0, 2.9, -1.0, 4.0, 5.0, 1.0]
for on, off in ((1.0, 0.0), (22.4, 0.0)):
    case(
        f"one_hot {on} {off}",
        sym.one_hot(label, depth=5, on_value=on, off_value=off),
        arrays={"label": LABELS},
        training=False,
        dtype="float32",
    )
case("pick", sym.pick(data, label, axis=1), {"data": (6, 5)}, {"label": LABELS})
for normalization in ("null", "batch", "valid"):
    for labels in ([0.0, 2.9, 3.0, 1.0], [0.0, -1.0, 3.0, 4.0]):
        case(
            f"SoftmaxOutput {normalization} {labels}",
            sym.SoftmaxOutput(data, label, normalization=normalization),
            {"data": (4, 4)},
            {"label": labels},
        )
case(
    "SoftmaxOutput by default",
    sym.SoftmaxOutput(data, label),
    {"data": (3, 4)},
    {"label": [1.0, 0.0, 3.0]},
)
case(
    "SoftmaxOutput of large numbers",
    sym.SoftmaxOutput(data, label, normalization="valid"),
    {},
    {"data": [[800.0, -800.0, 0.0], [-900.0, -900.5, -901.0]], "label": [1.0, 2.0]},
)
case(
    "BlockGrad beside others", sym.Group([sym.BlockGrad(data * 2.0), data * data]), {"data": (2, 3)}
)

# Heads: cosines of normalised rows, a margin at the label, softmax.
weight = sym.L2Normalization(sym.Variable("w"), mode="instance")
cosines = sym.FullyConnected(
    sym.L2Normalization(data, mode="instance") * 16.0, weight, num_hidden=5, no_bias=True
)
HEAD = {"data": (4, 6), "w": (5, 6)}
HEAD_LABELS = {"label": [1.0, 0.0, 4.0, 2.0]}
hot = sym.one_hot(label, depth=5, on_value=1.0, off_value=0.0)


def head(logits: Any) -> Any:
    """Return the outputs of a network that ends in given logits."""
    return sym.Group([sym.BlockGrad(data), sym.SoftmaxOutput(logits, label, normalization="valid")])


def moved(change: Callable[[Any, Any], Any]) -> Any:
    """Return the logits with the label's logit changed by a function of its cosine."""
    picked = sym.pick(cosines, label, axis=1)
    difference = sym.expand_dims(change(picked / 16.0, picked) - picked, 1)
    return cosines + sym.broadcast_mul(hot, difference)


def by_sine(cosine: Any, picked: Any) -> Any:
    """Return 16 cos(t+0.5), or the logit minus a constant where that no longer falls with t."""
    sine = sym.sqrt(1.0 - cosine * cosine)
    turned = (cosine * math.cos(0.5) - sine * math.sin(0.5)) * 16.0
    before = sym.Activation(cosine - math.cos(math.pi - 0.5), act_type="relu")
    return sym.where(before, turned, picked - 16.0 * math.sin(0.5) * 0.5)


case(
    "head of softmax",
    head(sym.FullyConnected(data, num_hidden=5, no_bias=True, name="f")),
    {"data": (4, 6)},
    HEAD_LABELS,
)
case(
    "head with a margin of the cosine",
    head(cosines - sym.one_hot(label, depth=5, on_value=8.0, off_value=0.0)),
    HEAD,
    HEAD_LABELS,
)
case("head with a margin by sine", head(moved(by_sine)), HEAD, HEAD_LABELS)
case(
    "head with a margin by arccos",
    head(moved(lambda cosine, _: sym.cos(sym.arccos(cosine) + 0.5) * 16.0)),
    HEAD,
    HEAD_LABELS,
)
