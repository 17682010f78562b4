"""Attributes of operators: strings in a symbol, values for computing."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .base import MXNetError

REQUIRED = object()
"""The default of a required attribute."""


@dataclass(frozen=True)
class Attribute:
    """One attribute of an operator.

    Attributes:
        kind: ``int``, ``float``, ``bool``, ``shape`` (a tuple whose entries may be None), or the
            permitted words.
        default: value if the attribute is not given; :data:`REQUIRED` if it must be given.
        only: values that this engine can compute; empty for all.
    """

    kind: str | tuple[str, ...]
    default: Any = REQUIRED
    only: tuple[Any, ...] = ()

    def parse(self, text: str) -> Any:
        """Return the value of a string in a symbol; raise ValueError if it is invalid."""
        if isinstance(self.kind, tuple):
            if text not in self.kind:
                raise ValueError(f"expected one of {', '.join(self.kind)}")
            return text
        return _PARSERS[self.kind](text)


def parse(
    operator: str, declared: Mapping[str, Attribute], given: Mapping[str, str]
) -> dict[str, Any]:
    """Return the value of every attribute of a node.

    Args:
        operator: name of the operator, for messages.
        declared: the operator's attributes.
        given: the strings of the node. Names in double underscores belong to variables and are
            ignored.

    Raises:
        MXNetError: An attribute is unknown, missing, malformed, or has a value that this engine
            does not compute.
    """
    values = {name: attribute.default for name, attribute in declared.items()}
    for name, text in given.items():
        if name.startswith("__") and name.endswith("__"):
            continue
        attribute = declared.get(name)
        if attribute is None:
            raise MXNetError(f"{operator} has no attribute {name} (given as {text!r})")
        try:
            values[name] = attribute.parse(text)
        except (ValueError, SyntaxError) as error:
            raise MXNetError(f"{operator}: {name}={text!r} is invalid: {error}") from None
        if attribute.only and values[name] not in attribute.only:
            raise MXNetError(
                f"{operator} with {name}={text} is not part of the PyTorch engine, which supports "
                f"{name}={' or '.join(str(value) for value in attribute.only)}"
            )
    missing = [name for name, value in values.items() if value is REQUIRED]
    if missing:
        raise MXNetError(f"{operator} requires {', '.join(missing)}")
    return values


def _parse_bool(text: str) -> bool:
    known = {"True": True, "true": True, "1": True, "False": False, "false": False, "0": False}
    if text not in known:
        raise ValueError("expected True or False")
    return known[text]


def _parse_float(text: str) -> float:
    value = float(text)
    if math.isnan(value):
        raise ValueError("expected a number")
    return value


# A network repeats the same few shapes thousands of times, and the parser of Python is slow.
@functools.lru_cache(maxsize=1024)
def _parse_shape(text: str) -> tuple[int | None, ...]:
    value = ast.literal_eval(text.replace("L", ""))
    entries = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all(
        entry is None or (isinstance(entry, int) and not isinstance(entry, bool))
        for entry in entries
    ):
        raise ValueError("expected a tuple of integers")
    return entries


_PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": _parse_bool,
    "float": _parse_float,
    "int": int,
    "optional int": lambda text: None if text == "None" else int(text),
    "shape": _parse_shape,
}
