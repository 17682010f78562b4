"""The first values of parameters.

The distributions are MXNet's; the random numbers are PyTorch's, so a seed gives other values here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

from .base import MXNetError, out_of_scope

if TYPE_CHECKING:
    # Symbols name initializers, and composing them needs no PyTorch.
    from .ndarray import NDArray

__getattr__ = out_of_scope("mxnet.initializer")


class Initializer:
    """Fills arrays; subclasses say how weights are drawn."""

    def __init__(self, **settings: Any) -> None:
        """Keep the settings, for :meth:`dumps`."""
        self._settings = settings

    def dumps(self) -> str:
        """Return name and settings as JSON."""
        return json.dumps([type(self).__name__.lower(), self._settings])

    def fill(self, name: str, attributes: Mapping[str, str], array: NDArray) -> None:
        """Fill the array of a parameter or state.

        Args:
            name: its name, whose end tells what it is.
            attributes: of its variable; ``__init__`` names an initializer of its own.
            array: filled in place.

        Raises:
            MXNetError: The name ends in nothing that is known.
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
                f"cannot initialize {name}: its name ends in none of weight, bias, gamma, beta"
            )

    def draw(self, name: str, array: NDArray) -> None:
        """Fill an array as weights are filled."""
        raise NotImplementedError


class Constant(Initializer):
    """One value for all."""

    def __init__(self, value: float) -> None:
        """Take the value."""
        super().__init__(value=value)
        self._value = value

    def draw(self, name: str, array: NDArray) -> None:
        """Fill an array."""
        array[:] = self._value


class Zero(Constant):
    """Zeros."""

    def __init__(self) -> None:
        """Take no settings."""
        super().__init__(0.0)
        self._settings = {}


class One(Constant):
    """Ones."""

    def __init__(self) -> None:
        """Take no settings."""
        super().__init__(1.0)
        self._settings = {}


class Uniform(Initializer):
    """Uniform on [-scale, scale)."""

    def __init__(self, scale: float = 0.07) -> None:
        """Take the bound."""
        super().__init__(scale=scale)
        self._scale = scale

    def draw(self, name: str, array: NDArray) -> None:
        """Fill an array."""
        array[:] = _draw("uniform", array, self._scale)


class Xavier(Initializer):
    """Random numbers whose variance keeps that of the data (Glorot and Bengio, 2010).

    Their scale is the root of ``magnitude`` over the fan: of inputs, outputs, or their average.
    """

    def __init__(
        self, rnd_type: str = "uniform", factor_type: str = "avg", magnitude: float = 3
    ) -> None:
        """Describe the distribution.

        Args:
            rnd_type: ``uniform`` on [-scale, scale), or ``gaussian`` of that deviation.
            factor_type: ``in``, ``out`` or ``avg``.
            magnitude: see the class.
        """
        if rnd_type not in ("uniform", "gaussian") or factor_type not in ("in", "out", "avg"):
            raise ValueError(f"Xavier knows no {rnd_type} by {factor_type}")
        super().__init__(rnd_type=rnd_type, factor_type=factor_type, magnitude=magnitude)
        self._kind, self._factor, self._magnitude = rnd_type, factor_type, float(magnitude)

    def draw(self, name: str, array: NDArray) -> None:
        """Fill an array of at least two axes: outputs, inputs, kernel."""
        shape = array.shape
        if len(shape) < 2:
            raise ValueError(f"Xavier needs at least two axes; {name} is of shape {shape}")
        window = prod(shape[2:])
        fan_in, fan_out = shape[1] * window, shape[0] * window
        fan = {"in": fan_in, "out": fan_out, "avg": (fan_in + fan_out) / 2}[self._factor]
        scale = sqrt(self._magnitude / fan)
        array[:] = _draw(self._kind, array, scale)


_KNOWN: dict[str, type[Initializer]] = {
    "constant": Constant,
    "one": One,
    "ones": One,
    "uniform": Uniform,
    "xavier": Xavier,
    "zero": Zero,
    "zeros": Zero,
}


def _draw(kind: str, array: NDArray, scale: float) -> Any:
    """Return numbers for an array: uniform on [-scale, scale), or gaussian of that deviation."""
    import torch

    drawn = torch.empty(array.shape)
    return drawn.uniform_(-scale, scale) if kind == "uniform" else drawn.normal_(0.0, scale)


def _create(text: str) -> Initializer:
    """Return the initializer that an attribute names: a name, or JSON of name and settings."""
    name, settings = json.loads(text) if text.startswith("[") else (text, {})
    kind = _KNOWN.get(name.lower())
    if kind is None:
        raise MXNetError(f"initializer {name} is not part of the PyTorch engine")
    return kind(**settings)
