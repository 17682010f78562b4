"""Stochastic gradient descent with momentum, bit-identical to MXNet's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .base import OutOfScopeError, out_of_scope
from .ndarray import NDArray, zeros_like
from .symbol import Symbol

__getattr__ = out_of_scope("mxnet.optimizer")


class SGD:
    """Stochastic gradient descent.

    With momentum, each parameter has a velocity, which includes the learning rate::

        velocity = momentum * velocity - (lr * wd) * weight - (lr * rescale_grad) * gradient
        weight = weight + velocity

    Attributes:
        lr: learning rate, which may be changed between steps.
        wd: weight decay.
        rescale_grad: factor of the gradients.
        lr_mult: multipliers of the learning rate by parameter name.
        wd_mult: multipliers of the weight decay by parameter name.
        idx2name: names of the parameters by index.
        momentum: weight of the former velocity.
    """

    def __init__(
        self,
        momentum: float = 0.0,
        rescale_grad: float = 1.0,
        param_idx2name: Mapping[int, str] | None = None,
        wd: float = 0.0,
        learning_rate: float = 0.01,
        sym: Symbol | None = None,
        **others: Any,
    ) -> None:
        """Create an optimizer.

        Args:
            momentum: weight of the former velocity.
            rescale_grad: factor of the gradients.
            param_idx2name: names of the parameters by index. Parameters named here have no weight
                decay unless their name ends in ``_weight`` or ``_gamma``.
            wd: weight decay.
            learning_rate: learning rate.
            sym: symbol whose variables have multipliers.
            **others: other settings of MXNet, none of which is supported.

        Raises:
            OutOfScopeError: Another setting of MXNet was given.
        """
        given = sorted(name for name, value in others.items() if value)
        if given:
            raise OutOfScopeError(f"mxnet.optimizer with {', '.join(given)}")
        self.lr, self.wd, self.rescale_grad = learning_rate, wd, rescale_grad
        self.momentum = momentum
        self.idx2name = dict(param_idx2name or {})
        self.lr_mult = _declared(sym, "__lr_mult__")
        exempt = {
            name: 0.0 for name in self.idx2name.values() if not name.endswith(("_weight", "_gamma"))
        }
        self.wd_mult = {**exempt, **_declared(sym, "__wd_mult__")}

    def _get_lrs(self, indices: Sequence[int]) -> list[float]:
        names = [self.idx2name.get(index, "") for index in indices]
        return [self.lr * self.lr_mult.get(name, 1.0) for name in names]

    def _get_wds(self, indices: Sequence[int]) -> list[float]:
        names = [self.idx2name.get(index, "") for index in indices]
        return [self.wd * self.wd_mult.get(name, 1.0) for name in names]

    def create_state(self, index: int, weight: NDArray) -> NDArray | None:
        """Return a velocity of zeros; None without momentum."""
        return zeros_like(weight) if self.momentum else None

    def update(
        self,
        index: Sequence[int],
        weight: Sequence[NDArray],
        grad: Sequence[NDArray],
        state: Sequence[NDArray | None],
    ) -> None:
        """Update parameters in place.

        Args:
            index: indices of the parameters.
            weight: the parameters.
            grad: their gradients.
            state: their velocities, as :meth:`create_state` returned them.
        """
        weights = [item.tensor for item in weight]
        kind = np.float64 if weights and weights[0].dtype == torch.float64 else np.float32
        rates = [kind(rate) for rate in self._get_lrs(index)]
        decays = [rate * kind(decay) for rate, decay in zip(rates, self._get_wds(index))]
        # As in MXNet, the products in parentheses above are rounded before they multiply an array.
        factors = [rate * kind(self.rescale_grad) for rate in rates]
        with torch.no_grad():
            gradients = [item.tensor for item in grad]
            gradients = torch._foreach_mul(gradients, [float(factor) for factor in factors])
            decayed = torch._foreach_mul(weights, [float(decay) for decay in decays])
            if not self.momentum:
                torch._foreach_add_(decayed, gradients)
                torch._foreach_sub_(weights, decayed)
                return
            velocities = [item.tensor for item in state if item is not None]
            torch._foreach_mul_(velocities, float(kind(self.momentum)))
            torch._foreach_sub_(velocities, decayed)
            torch._foreach_sub_(velocities, gradients)
            torch._foreach_add_(weights, velocities)


def _declared(sym: Symbol | None, key: str) -> dict[str, float]:
    """Return the multipliers that the variables of a symbol have, by name."""
    if sym is None:
        return {}
    attributes = sym.attr_dict()
    found = {name: attributes.get(name, {}).get(key) for name in sym.list_arguments()}
    return {name: float(value) for name, value in found.items() if value is not None}
