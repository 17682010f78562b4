"""The operators of the script's networks and losses, each with the attributes that occur there.

A case is a small symbol of one operator, or of a few, with what its inputs hold. Numbers that a
case does not give are drawn by `record_operators.py`: multiples of 1/64 between 1/64 and 2, of both
signs. So no input lies on a kink, and products of two of them are exact in single precision, to
which MXNet rounds inside of some operators even where all arrays are of double precision.
"""

import mxnet as mx
import numpy as np

sym = mx.sym
CASES = []


def case(name, symbol, shapes=None, arrays=None, **options):
    """Add a case.

    shapes: of the inputs whose numbers are drawn, as far as MXNet does not infer them.
    arrays: inputs by name, as nested lists or arrays.
    options: `dtype`, float64 by default; `numeric`: inputs whose gradient MXNet gets wrong, so that
        it is taken from differences of its outputs, which are linear in it; `tolerance`, relative,
        where MXNet rounds to single precision on the way.
    """
    CASES.append(
        {"name": name, "symbol": symbol, "shapes": shapes or {}, "arrays": arrays or {}, **options}
    )


def permuted(*shape, step=1 / 8, seed=3):
    """Return different multiples of a step around 0 in random order: no two of them tie."""
    count = int(np.prod(shape))
    return ((np.random.RandomState(seed).permutation(count) - count // 2) * step).reshape(shape)


def prelu(data, name, shape=(1, -1, 1, 1)):
    """Return PReLU as the patched networks compose it, for MXNet's own has wrong gradients."""
    slopes = sym.Variable(f"{name}_gamma", shape=(3,), init=mx.init.Constant(0.25))
    slopes = sym.reshape(slopes, shape=shape, name=f"{name}_slopes")
    with mx.AttrScope(force_mirroring="True"):
        above = sym.Activation(data=data, act_type="relu", name=f"{name}_positive")
        below = sym.broadcast_mul(sym.minimum(data, 0), slopes, name=f"{name}_negative")
    return sym.elemwise_add(above, below, name=name)


data, label = sym.Variable("data"), sym.Variable("label")
