"""The layers that upstream's networks use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base import out_of_scope
from ..shapes import Shape
from ..symbol import Symbol
from .block import HybridBlock

__getattr__ = out_of_scope("mxnet.gluon.nn")


def _pair(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


class HybridSequential(HybridBlock):
    """Blocks, one after the other."""

    def __init__(self) -> None:
        """Create an empty sequence."""
        super().__init__()
        self._blocks: list[HybridBlock] = []

    def add(self, *blocks: HybridBlock) -> None:
        """Append blocks."""
        self._blocks += blocks

    def hybrid_forward(self, F: Any, *inputs: Symbol, **_: Symbol) -> Symbol:  # noqa: N803
        """Apply the blocks in turn."""
        (x,) = inputs
        for block in self._blocks:
            x = block(x)
        return x


class _Layer(HybridBlock):
    """An operator with parameters of its own."""

    def __init__(self, operator: str, attributes: dict[str, Any]) -> None:
        super().__init__()
        self._operator, self._attributes = operator, attributes

    def hybrid_forward(self, F: Any, *inputs: Symbol, **parameters: Symbol) -> Symbol:  # noqa: N803
        """Apply the operator."""
        operator = getattr(F, self._operator)
        given = (*inputs, *parameters.values())
        composed: Symbol = operator(*given, name="fwd", **self._attributes)
        return composed


class Conv2D(_Layer):
    """A convolution of (N, C, H, W)."""

    def __init__(
        self,
        channels: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        groups: int = 1,
        use_bias: bool = True,
    ) -> None:
        """Create the layer; ``channels`` is the number of filters."""
        kernel = _pair(kernel_size)
        super().__init__(
            "Convolution",
            {
                "kernel": kernel,
                "stride": _pair(strides),
                "dilate": (1, 1),
                "pad": _pair(padding),
                "num_filter": channels,
                "num_group": groups,
                "no_bias": not use_bias,
                "layout": "NCHW",
            },
        )
        # With one filter per group, there is one channel per group, whatever the data has.
        self.parameter("weight", (channels, 0, *kernel))
        if use_bias:
            self.parameter("bias", (channels,), "zeros")

    def _alias(self) -> str:
        return "conv"


class BatchNorm(_Layer):
    """Batch normalisation over axis 1."""

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, scale: bool = True) -> None:
        """Create the layer; without ``scale``, gamma stays 1."""
        super().__init__(
            "BatchNorm",
            {
                "axis": 1,
                "eps": epsilon,
                "momentum": momentum,
                "fix_gamma": not scale,
                "use_global_stats": False,
            },
        )
        unknown: Shape = (0,)
        self.parameter("gamma", unknown, "ones")
        self.parameter("beta", unknown, "zeros")
        self.parameter("running_mean", unknown, "zeros")
        self.parameter("running_var", unknown, "ones")


class Activation(_Layer):
    """An elementwise function."""

    def __init__(self, activation: str) -> None:
        """Create the layer from the name of the function."""
        self._kind = activation
        super().__init__("Activation", {"act_type": activation})

    def _alias(self) -> str:
        return self._kind


class _Pooling(_Layer):
    _kind: str

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
    ) -> None:
        """Create the layer."""
        counted = {"count_include_pad": True} if self._kind == "avg" else {}
        super().__init__(
            "Pooling",
            {
                "kernel": _pair(pool_size),
                "stride": _pair(pool_size if strides is None else strides),
                "pad": _pair(padding),
                "global_pool": False,
                "pool_type": self._kind,
                "layout": "NCHW",
                "pooling_convention": "valid",
                **counted,
            },
        )

    def _alias(self) -> str:
        return "pool"


class MaxPool2D(_Pooling):
    """The maximum of windows of (N, C, H, W)."""

    _kind = "max"


class AvgPool2D(_Pooling):
    """The average of windows of (N, C, H, W), padding included."""

    _kind = "avg"


class Dropout(_Layer):
    """Dropout: sets a random share of the numbers to zero in training."""

    def __init__(self, rate: float) -> None:
        """Create the layer with the share to drop."""
        super().__init__("Dropout", {"p": rate, "axes": ()})


class Flatten(HybridBlock):
    """Flattens everything but the first axis."""

    def hybrid_forward(self, F: Any, *inputs: Symbol, **_: Symbol) -> Symbol:  # noqa: N803
        """Apply it."""
        flat: Symbol = F.Flatten(*inputs)
        return flat


class Dense(_Layer):
    """A fully connected layer."""

    def __init__(self, units: int) -> None:
        """Create the layer with its number of outputs."""
        super().__init__("FullyConnected", {"no_bias": False, "num_hidden": units, "flatten": True})
        self.parameter("weight", (units, 0))
        self.parameter("bias", (units,), "zeros")


__all__ = [
    "Activation",
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "HybridBlock",
    "HybridSequential",
    "MaxPool2D",
]
