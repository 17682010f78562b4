"""Progress of what takes seconds: any module reports it, and the command line shows it.

As with logging, a module need not know whether anybody looks. Tasks can be nested.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

_tasks: list[Task] = []
_listeners: list[Callable[[], None]] = []


class Task:
    """Something that takes a while.

    Attributes:
        description: what is done, such as ``fetching the history``.
        total: how many parts it has; None if unknown.
        done: how many of them are done.
        began: when it began, on the monotonic clock.
    """

    def __init__(self, description: str, total: int | None = None) -> None:
        self.description = description
        self.total = total
        self.done = 0
        self.began = time.monotonic()

    def advance(self) -> None:
        """Report that one more part is done."""
        self.done += 1

    def reach(self, done: int, total: int) -> None:
        """Report how many parts are done, and how many there are."""
        self.done, self.total = done, total


@contextlib.contextmanager
def task(description: str, total: int | None = None) -> Iterator[Task]:
    """Report a task while the context lasts."""
    begun = Task(description, total)
    _tasks.append(begun)
    _tell()
    try:
        yield begun
    finally:
        _tasks.remove(begun)
        _tell()


def running() -> tuple[Task, ...]:
    """Return the tasks that have begun and not ended, outermost first."""
    return tuple(_tasks)


@contextlib.contextmanager
def watch(listener: Callable[[], None]) -> Iterator[None]:
    """Call a function whenever a task begins or ends, while the context lasts."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def _tell() -> None:
    for listener in _listeners:
        listener()
