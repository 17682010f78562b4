"""Errors, and how modules name what they lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class MXNetError(RuntimeError):
    """The error that MXNet raises for every failure in its library."""


class OutOfScopeError(MXNetError, AttributeError):
    """A part of MXNet that the PyTorch engine does not offer."""

    def __init__(self, what: str) -> None:
        """Create the error.

        Args:
            what: the missing name, as the caller spells it.
        """
        super().__init__(
            f"{what} is not part of the PyTorch engine, which offers what upstream's "
            "train_softmax.py uses; run it with MXNet itself (--engine mxnet)"
        )


def out_of_scope(module: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a module, whose errors name what the module does not offer."""

    def missing(attribute: str) -> Any:
        if attribute.startswith("__"):
            # Python itself looks such names up.
            raise AttributeError(attribute)
        raise OutOfScopeError(f"{module}.{attribute}")

    return missing


_Null = object()
"""Marks an argument that was not given; spherenet imports it and does not use it."""
