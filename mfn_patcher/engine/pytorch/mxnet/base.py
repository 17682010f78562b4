"""Errors, and the few things that the script uses of MXNet's C library."""

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


class _NullType:
    """The type of :data:`_Null`."""

    def __repr__(self) -> str:
        return "_Null"


_Null = _NullType()
"""Marks an argument that was not given; spherenet imports it."""


class _Library:
    """The one function that the data feed calls in MXNet's C library."""

    @staticmethod
    def MXRecordIOReaderSeek(handle: Any, place: Any) -> int:
        """Move a reader to a byte offset.

        Args:
            handle: ``MXRecordIO.handle``.
            place: offset in bytes, a ``ctypes.c_size_t``.
        """
        handle.seek(place.value)
        return 0


_LIB = _Library()


def check_call(status: int) -> None:
    """Raise an error unless the status of a C function is 0."""
    if status:
        raise MXNetError(f"a call into the library returned {status}")
