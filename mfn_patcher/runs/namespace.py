"""The arguments of the script as it prints them: the text of an argparse namespace."""

from __future__ import annotations

import ast
import math
from typing import Any

_INTEGER_BITS = 64


def parse_namespace(text: str) -> dict[str, Any]:
    """Return the arguments in a printed namespace; empty if it cannot be parsed.

    Args:
        text: what stands between the parentheses of ``Namespace(...)``.
    """
    try:
        call = ast.parse(f"Namespace({text})", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {}
    if not isinstance(call, ast.Call):
        return {}
    return {word.arg: _value(word.value) for word in call.keywords if word.arg}


def _value(node: ast.expr) -> Any:
    """Return a value that JSON and UTF-8 can hold; anything but such a literal becomes text."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        value = ast.unparse(node)
    return [_plain(item) for item in value] if isinstance(value, list) else _plain(value)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < _INTEGER_BITS else hex(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    # A path that is not UTF-8 is printed with lone surrogates.
    text = value if isinstance(value, str) else repr(value)
    return text.encode("utf-8", "backslashreplace").decode()
