"""What the user may have meant by a name that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question that suggests the closest of the names that exist; empty if none is close.

    click asks the same about commands and options.
    """
    import difflib  # noqa: PLC0415  (only needed for errors)

    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
