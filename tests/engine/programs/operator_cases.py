"""How a case of an operator is declared, and what cases share.

A case is a small symbol of one or a few operators, with its inputs. Inputs that a case does not
give are drawn by `record_operators.py`: multiples of 1/64 between 1/64 and 2 with both signs. So no
input lies on a kink, and the product of two of them is exact in single precision, to which MXNet
rounds inside some operators even if all arrays are double precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt

sym = mx.sym
CASES: list[dict[str, Any]] = []


def case(
    name: str,
    symbol: Any,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    arrays: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Add a case.

    Args:
        name: name of the case.
        symbol: the symbol to compute.
        shapes: shapes of the inputs that are drawn, unless MXNet infers them.
        arrays: other inputs by name, as nested lists or arrays.
        **options: `dtype`, by default float64; `numeric`, the inputs whose gradient MXNet computes
            wrong, which is taken from differences of its outputs instead, as these are linear in
            it; `tolerance`, relative, if MXNet rounds to single precision in between; `training`,
            whether gradients are computed, by default True.
    """
    CASES.append(
        {"name": name, "symbol": symbol, "shapes": shapes or {}, "arrays": arrays or {}, **options}
    )


def permuted(*shape: int, step: float = 1 / 8, seed: int = 3) -> npt.NDArray[np.float64]:
    """Return different multiples of a step around 0 in random order."""
    count = int(np.prod(shape))
    order = np.random.RandomState(seed).permutation(count)
    numbers: npt.NDArray[np.float64] = (order - count // 2) * np.float64(step)
    return numbers.reshape(shape)


def prelu(data: Any, name: str, shape: tuple[int, ...] = (1, -1, 1, 1)) -> Any:
    """Return PReLU as the patched networks compose it, because MXNet's own has wrong gradients."""
    slopes = sym.Variable(f"{name}_gamma", shape=(3,), init=mx.init.Constant(0.25))
    slopes = sym.reshape(slopes, shape=shape, name=f"{name}_slopes")
    with mx.AttrScope(force_mirroring="True"):
        above = sym.Activation(data=data, act_type="relu", name=f"{name}_positive")
        below = sym.broadcast_mul(sym.minimum(data, 0), slopes, name=f"{name}_negative")
    return sym.elemwise_add(above, below, name=name)


data, label = sym.Variable("data"), sym.Variable("label")
