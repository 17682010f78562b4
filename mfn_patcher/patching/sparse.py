"""Sparse checkout patterns: the subset of git's syntax that a project may use."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def pattern_of(path: str) -> str:
    """Return the pattern that matches the file `path` and nothing else."""
    return "/" + re.sub(r"([\\*?\[]| \Z)", r"\\\1", path)


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Return whether one of `patterns` matches `path` or a folder that contains it."""
    return any(_expression(pattern).match(f"/{path}") for pattern in patterns)


@lru_cache
def _expression(pattern: str) -> re.Pattern[str]:
    """Translate a pattern: ``*`` matches any part of a name, and a backslash quotes."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    text = "".join("[^/]*" if part == "*" else re.escape(part[-1]) for part in parts)
    return re.compile(text if pattern.endswith("/") else rf"{text}(?:/|\Z)", re.DOTALL)
