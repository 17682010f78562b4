"""The optimizer, with momentum that can be saved and restored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mxnet as mx


class SGD(mx.optimizer.SGD):
    """MXNet's SGD, whose momentum can be read and set by the names of the parameters.

    MXNet's own file of it is a pickle, and numbers the parameters.

    Attributes:
        momenta: momentum of each parameter, once there is one.
        initial: momentum to begin with.
    """

    def __init__(self, **options: Any) -> None:
        """Take what MXNet's SGD takes."""
        super().__init__(**options)
        self.initial: Mapping[str, Any] = {}
        self.momenta: dict[str, Any] = {}

    def create_state(self, index: int, weight: Any) -> Any:
        """Return the momentum that a parameter begins with."""
        state = super().create_state(index, weight)
        if state is not None:
            name = self.idx2name.get(index, index)
            if name in self.initial:
                self.initial[name].copyto(state)
            self.momenta[name] = state
        return state
