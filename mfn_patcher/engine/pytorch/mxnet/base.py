"""Errors, and the little that the script asks of MXNet's C library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class MXNetError(RuntimeError):
    """What MXNet raises for whatever goes wrong in its library."""


class OutOfScopeError(MXNetError, AttributeError):
    """Something of MXNet's that the engine on PyTorch does not offer."""

    def __init__(self, what: str) -> None:
        """Name it.

        Args:
            what: The missing name, as the caller spells it.
        """
        super().__init__(
            f"{what} is not part of the PyTorch engine, which offers what upstream's "
            "train_softmax.py uses; run it with MXNet itself (--engine mxnet)"
        )


def out_of_scope(module: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that names what the module does not offer."""

    def missing(attribute: str) -> Any:
        if attribute.startswith("__"):
            # Python itself asks modules for such names.
            raise AttributeError(attribute)
        raise OutOfScopeError(f"{module}.{attribute}")

    return missing


class _NullType:
    """The type of :data:`_Null`."""

    def __repr__(self) -> str:
        return "_Null"


_Null = _NullType()
"""Stands for an argument that was not given; spherenet imports it."""


class _Library:
    """The one function that the data feed calls in MXNet's C library."""

    @staticmethod
    def MXRecordIOReaderSeek(handle: Any, place: Any) -> int:
        """Move a reader to a byte offset.

        Args:
            handle: ``MXRecordIO.handle``.
            place: Offset in bytes, a ``ctypes.c_size_t``.
        """
        handle.seek(place.value)
        return 0


_LIB = _Library()


def check_call(status: int) -> None:
    """Raise an error for a status other than 0 of a C function."""
    if status:
        raise MXNetError(f"a call into the library returned {status}")
