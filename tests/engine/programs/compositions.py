"""Small symbols, their text and what their methods return; runs on either package called mxnet.

Prints a JSON object with what `describe` returns for each symbol.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import mxnet as mx

sym = mx.sym


def scalars() -> Any:
    """Operators with numbers on either side, named by counters."""
    x = sym.Variable("x")
    return (1.0 - (x - 127.5) * 0.0078125) / 64.0 + 2 * x - 3 + (0.5 + x * -0.1)


def pairs() -> Any:
    """Sums, differences and products of symbols; one of a symbol with itself."""
    x, y = sym.Variable("x"), sym.Variable("y")
    return x * x + (x - y) * y + sym.elemwise_add(x, y, name="last")


def variables() -> Any:
    """Attributes of variables: shapes, unknown extents, multipliers."""
    weight = sym.Variable("w", shape=(4, 0), lr_mult=2.0, wd_mult=10.0)
    bias = sym.Variable("b", lr_mult=1, wd_mult=0.0)
    return sym.FullyConnected(
        sym.Variable("data"), weight=weight, bias=bias, num_hidden=4, name="f"
    )


def own_variables() -> Any:
    """Variables that operators create, with and without a name, and their attributes."""
    x = sym.Convolution(
        sym.Variable("data"), num_filter=4, kernel=(3, 3), pad=(1, 1), workspace=256
    )
    x = sym.BatchNorm(x, fix_gamma=False, eps=2e-5, momentum=0.9, name="bn")
    x = sym.LeakyReLU(x, act_type="prelu", name="act")
    x = sym.BatchNorm(
        data=sym.Convolution(data=x, num_filter=4, kernel=(3, 3), num_group=4, no_bias=True)
    )
    return sym.FullyConnected(x, num_hidden=3)


def normalised_weight() -> Any:
    """A weight that is itself computed."""
    weight = sym.L2Normalization(sym.Variable("w", shape=(5, 8)), mode="instance")
    data = sym.L2Normalization(sym.Variable("data"), mode="instance", name="n") * 64.0
    return sym.FullyConnected(data=data, weight=weight, no_bias=True, num_hidden=5, name="f")


def parts() -> Any:
    """A symbol with several outputs, by index and by iteration."""
    split = sym.SliceChannel(sym.Variable("data"), num_outputs=3, axis=1)
    return sym.Concat(*[part * 2.0 for part in split], split[1], dim=1, name="all")


def split_alone() -> Any:
    """All outputs of a symbol with several."""
    return sym.SliceChannel(sym.Variable("data"), num_outputs=3, axis=1, name="s")


def shapes() -> Any:
    """Operators that only move numbers."""
    x = sym.Variable("data")
    x = sym.Pad(x, mode="constant", constant_value=0, pad_width=(0, 0, 0, 0, 1, 0, 1, 0))
    x = sym.slice(x, begin=(None, None, 1, 1), end=(None, None, None, None))
    x = sym.slice_axis(data=x, axis=1, begin=0, end=4, name="some")
    x = sym.Pooling(data=sym.identity(x), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
    x = sym.Pooling(x, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool")
    return sym.Dropout(data=sym.Flatten(data=x), p=0.4)


def sums() -> Any:
    """Sums of many, and concatenations with and without a dimension."""
    x, y, z = (sym.Variable(name) for name in "xyz")
    return sym.Concat(
        sym.ElementWiseSum(x, y, name="sum"), sym.add_n(x, y, z), sym.concat(x, y, dim=1)
    )


def head() -> Any:
    """The operators of a loss."""
    data, label = sym.Variable("data"), sym.Variable("softmax_label")
    cosine = sym.pick(data, label, axis=1) / 64.0
    sine = sym.sqrt(1.0 - cosine * cosine)
    chosen = sym.where(
        sym.Activation(data=cosine - 0.5, act_type="relu"), cosine * 0.8 - sine * 0.6, cosine
    )
    turned = sym.cos(sym.arccos(cosine) + 0.5)
    hot = sym.one_hot(label, depth=20, on_value=1.0, off_value=0.0)
    logits = data + sym.broadcast_mul(hot, sym.expand_dims(chosen - turned, 1))
    softmax = sym.SoftmaxOutput(data=logits, label=label, name="softmax", normalization="valid")
    return sym.Group([sym.BlockGrad(data), softmax])


def excitation() -> Any:
    """A weight for each channel."""
    x = sym.Variable("data")
    y = sym.Pooling(data=x, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool")
    y = sym.Convolution(data=y, num_filter=4, kernel=(1, 1), stride=(1, 1), pad=(0, 0), name="c")
    return sym.broadcast_mul(x, sym.Activation(data=y, act_type="sigmoid", name="sigmoid"))


def slopes() -> Any:
    """PReLU as the patched networks compose it."""
    x = sym.Convolution(sym.Variable("data"), num_filter=4, kernel=(3, 3), name="c")
    (shape,) = x.infer_shape(data=(1, 3, 8, 8))[1]
    gamma = sym.Variable("p_gamma", shape=(shape[1],), init=mx.init.Constant(0.25))
    gamma = sym.reshape(gamma, shape=(1, -1, 1, 1), name="p_slopes")
    with mx.AttrScope(force_mirroring="True"):
        above = sym.Activation(data=x, act_type="relu", name="p_positive")
        below = sym.broadcast_mul(sym.minimum(x, 0), gamma, name="p_negative")
    return sym.elemwise_add(above, below, name="p")


def blocks() -> Any:
    """Symbols that gluon's blocks compose, and how these are numbered."""
    nn = mx.gluon.nn

    class Unit(mx.gluon.HybridBlock):
        def __init__(self, channels: int) -> None:
            super().__init__()
            with self.name_scope():
                self.body = nn.HybridSequential()
                with self.body.name_scope():
                    self.body.add(nn.Conv2D(channels, 3, strides=2, padding=1, use_bias=False))
                    self.body.add(nn.BatchNorm(epsilon=0.001, momentum=0.1), nn.Activation("relu"))
                self.deep = nn.Conv2D(channels, kernel_size=5, padding=2, groups=channels)
                self.pool = nn.MaxPool2D(pool_size=3, strides=2, padding=1)

        def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803, gluon's name
            x = self.body(x)
            return F.concat(self.deep(x), self.deep(x) * 0.5, F.elemwise_add(x, x), dim=1)

    net = nn.HybridSequential()
    net.add(nn.BatchNorm(scale=True))
    with net.name_scope():
        net.add(Unit(4), Unit(6), nn.AvgPool2D(3, strides=2, padding=1))
    return net(sym.Variable("data"))


CASES: dict[Callable[[], Any], dict[str, tuple[int, ...]]] = {
    scalars: {"x": (2, 3)},
    pairs: {"x": (2, 3), "y": (2, 3)},
    variables: {"data": (2, 3)},
    own_variables: {"data": (2, 3, 5, 5)},
    normalised_weight: {"data": (2, 8)},
    parts: {"data": (2, 6, 2, 2)},
    split_alone: {"data": (2, 6, 2, 2)},
    shapes: {"data": (2, 5, 6, 6)},
    sums: {"x": (2, 3), "y": (2, 3), "z": (2, 3)},
    head: {"data": (4, 20), "softmax_label": (4,)},
    excitation: {"data": (2, 4, 3, 3)},
    slopes: {"data": (2, 3, 8, 8)},
    blocks: {"data": (2, 3, 16, 16)},
}


def describe(symbol: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return what the methods of a symbol return, and its text after reading it back."""
    text = symbol.tojson()
    read = mx.sym.load_json(text)
    internals = symbol.get_internals()
    return {
        "text": text,
        "read": read.tojson(),
        "name": symbol.name,
        "outputs": symbol.list_outputs(),
        "arguments": symbol.list_arguments(),
        "auxiliary": symbol.list_auxiliary_states(),
        "attributes": symbol.attr_dict(),
        "internals": internals.list_outputs(),
        "first": internals[0].list_outputs(),
        "cut": internals[internals.list_outputs()[-1]].tojson(),
        "shapes": symbol.infer_shape(**shapes),
    }


def main() -> None:
    """Describe all symbols."""
    answers: dict[str, Any] = {}
    for build, shapes in CASES.items():
        with mx.name.NameManager():
            symbol = build()
        answers[build.__name__] = describe(symbol, shapes)
    # Counters continue from one symbol to the next until a new manager of names begins.
    x = mx.sym.Variable("x")
    names = [
        (x + 1).name,
        (x + 1).name,
        mx.sym.BlockGrad(x).name,
        (x * x).name,
        mx.sym.BlockGrad(x + 1).name,
    ]
    sys.stdout.write("\n" + json.dumps({**answers, "names": names}) + "\n")


if __name__ == "__main__":
    main()
