"""Default names of symbols: a counter for each kind of operator."""

from __future__ import annotations

import threading


class NameManager:
    """Names symbols while it is entered, with MXNet's counters, because files contain the names."""

    _current = threading.local()

    def __init__(self) -> None:
        """Create a manager with all counters at 0."""
        self._counters: dict[str, int] = {}
        self._previous: list[NameManager] = []

    def get(self, name: str | None, hint: str) -> str:
        """Return the name of a new symbol.

        Args:
            name: the given name; None if there is none.
            hint: kind of operator, in lower case.
        """
        if name:
            return name
        number = self._counters.get(hint, 0)
        self._counters[hint] = number + 1
        return f"{hint}{number}"

    def __enter__(self) -> NameManager:
        self._previous.append(current())
        NameManager._current.value = self
        return self

    def __exit__(self, *_: object) -> None:
        NameManager._current.value = self._previous.pop()


class Prefix(NameManager):
    """Adds a prefix to the names of symbols, including given names."""

    def __init__(self, prefix: str) -> None:
        """Create a manager with a prefix."""
        super().__init__()
        self._prefix = prefix

    def get(self, name: str | None, hint: str) -> str:
        """Return the name of a new symbol."""
        return self._prefix + super().get(name, hint)


def current() -> NameManager:
    """Return the current manager of this thread."""
    if not hasattr(NameManager._current, "value"):
        NameManager._current.value = NameManager()
    manager: NameManager = NameManager._current.value
    return manager
