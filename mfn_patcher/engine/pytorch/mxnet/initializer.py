"""Initializers of parameters.

The distributions are MXNet's, but the random numbers are PyTorch's, so a seed gives other values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

from .base import MXNetError, out_of_scope

if TYPE_CHECKING:
    # Composing symbols uses initializers but must not need PyTorch.
    from .ndarray import NDArray

__getattr__ = out_of_scope("mxnet.initializer")


class Initializer:
    """Fills arrays; subclasses define how weights are drawn."""

    def __init__(self, **settings: Any) -> None:
        """Keep the settings, for :meth:`dumps`."""
        self._settings = settings

    def dumps(self) -> str:
        """Return the name and settings as JSON."""
        return json.dumps([type(self).__name__.lower(), self._settings])

    def fill(self, name: str, attributes: Mapping[str, str], array: NDArray) -> None:
        """Fill the array of a parameter or state.

        Args:
            name: name, whose suffix determines the kind of parameter.
            attributes: attributes of its variable; ``__init__`` names its own initializer.
            array: the array, which is filled in place.

        Raises:
            MXNetError: The suffix of the name is unknown.
        """
        own = attributes.get("__init__")
        if own:
            _create(own).draw(name, array)
        elif name.endswith("weight"):
            self.draw(name, array)
        elif name.endswith(("bias", "beta", "moving_mean", "running_mean")):
            array[:] = 0.0
        elif name.endswith(("gamma", "moving_var", "running_var")):
            array[:] = 1.0
        else:
            raise MXNetError(
                f"cannot initialise {name}: its name ends in none of weight, bias, gamma, beta"
            )

    def draw(self, name: str, array: NDArray) -> None:
        """Fill an array of weights."""
        raise NotImplementedError


class Constant(Initializer):
    """Fills arrays with one value."""

    def __init__(self, value: float) -> None:
        """Create the initializer with its value."""
        super().__init__(value=value)
        self._value = value

    def draw(self, name: str, array: NDArray) -> None:
        """Fill an array."""
        array[:] = self._value


class Uniform(Initializer):
    """Draws from the uniform distribution on [-scale, scale)."""

    def __init__(self, scale: float = 0.07) -> None:
        """Create the initializer with its bound."""
        super().__init__(scale=scale)
        self._scale = scale

    def draw(self, name: str, array: NDArray) -> None:
        """Fill an array."""
        array[:] = _draw("uniform", array, self._scale)


class Xavier(Initializer):
    """Draws numbers whose variance preserves that of the data (Glorot and Bengio, 2010).

    Their scale is sqrt(``magnitude`` / fan), with the fan of the inputs, the outputs, or the mean.
    """

    def __init__(
        self, rnd_type: str = "uniform", factor_type: str = "avg", magnitude: float = 3
    ) -> None:
        """Create the initializer.

        Args:
            rnd_type: ``uniform`` on [-scale, scale), or ``gaussian`` with that standard deviation.
            factor_type: ``in``, ``out`` or ``avg``.
            magnitude: see the class.
        """
        if rnd_type not in ("uniform", "gaussian") or factor_type not in ("in", "out", "avg"):
            raise ValueError(f"Xavier does not have {rnd_type} with {factor_type}")
        super().__init__(rnd_type=rnd_type, factor_type=factor_type, magnitude=magnitude)
        self._kind, self._factor, self._magnitude = rnd_type, factor_type, float(magnitude)

    def draw(self, name: str, array: NDArray) -> None:
        """Fill an array with at least two axes: outputs, inputs, kernel."""
        shape = array.shape
        if len(shape) < 2:
            raise ValueError(f"Xavier needs at least two axes; {name} is of shape {shape}")
        window = prod(shape[2:])
        fan_in, fan_out = shape[1] * window, shape[0] * window
        fan = {"in": fan_in, "out": fan_out, "avg": (fan_in + fan_out) / 2}[self._factor]
        scale = sqrt(self._magnitude / fan)
        array[:] = _draw(self._kind, array, scale)


_ONES, _ZEROS = partial(Constant, 1.0), partial(Constant, 0.0)
_KNOWN: dict[str, Callable[..., Initializer]] = {
    "constant": Constant,
    "one": _ONES,
    "ones": _ONES,
    "uniform": Uniform,
    "xavier": Xavier,
    "zero": _ZEROS,
    "zeros": _ZEROS,
}


def _draw(kind: str, array: NDArray, scale: float) -> Any:
    """Return random numbers for an array: uniform on [-scale, scale), or Gaussian."""
    import torch

    drawn = torch.empty(array.shape)
    return drawn.uniform_(-scale, scale) if kind == "uniform" else drawn.normal_(0.0, scale)


def _create(text: str) -> Initializer:
    """Return the initializer of an attribute: a name, or JSON with the name and settings."""
    name, settings = json.loads(text) if text.startswith("[") else (text, {})
    kind = _KNOWN.get(name.lower())
    if kind is None:
        raise MXNetError(f"initializer {name} is not part of the PyTorch engine")
    return kind(**settings)
