"""Attributes for all symbols that are composed in a scope."""

from __future__ import annotations

import threading

_scopes = threading.local()


class AttrScope:
    """Adds attributes to the symbols that are composed while the scope is entered."""

    def __init__(self, **attributes: str) -> None:
        """Create a scope with attributes, whose values are strings."""
        if not all(isinstance(value, str) for value in attributes.values()):
            raise ValueError("attributes must be strings")
        self._attributes = {f"__{key.strip('_')}__": value for key, value in attributes.items()}

    def __enter__(self) -> AttrScope:
        _stack().append({**current(), **self._attributes})
        return self

    def __exit__(self, *_: object) -> None:
        _stack().pop()


def current() -> dict[str, str]:
    """Return the attributes of the current scopes."""
    stack = _stack()
    return stack[-1] if stack else {}


def _stack() -> list[dict[str, str]]:
    if not hasattr(_scopes, "stack"):
        _scopes.stack = []
    stack: list[dict[str, str]] = _scopes.stack
    return stack
