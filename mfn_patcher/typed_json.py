"""Turning JSON from files and from other hosts into the types that dataclasses declare."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import re
import sys
import typing
from typing import Annotated, Any

# JSON can hold lone surrogates, which cannot be printed.
_SURROGATES = re.compile("[\ud800-\udfff]")
_NOT_OF_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_T = typing.TypeVar("_T")

# The name of a file; bytes that are not UTF-8 are surrogates, as in `os.fsdecode`.
FileName = Annotated[str, "a file name"]


def decode(value: object, hint: Any) -> Any:
    """Return a JSON value as an object of the declared type.

    Args:
        value: what `json.loads` returned.
        hint: a dataclass, named tuple, enumeration, ``tuple[X, ...]``, ``Mapping[str, X]``, union,
            `FileName`, ``int``, ``float``, ``bool``, ``str`` or ``None``.

    Raises:
        ValueError: The value has another type. Further keys of an object are no error.
    """
    if hint == FileName:
        if _NOT_OF_BYTES.search(_require(value, str, "a string")):
            raise ValueError("expected a file name")
        return value
    kind = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(kind):
        return _decode_fields(value, typing.cast("type", kind))
    if kind is collections.abc.Mapping:
        entries = _require(value, dict, "an object")
        return {decode(key, str): decode(item, arguments[1]) for key, item in entries.items()}
    if kind is tuple:
        return tuple(decode(item, arguments[0]) for item in _require(value, list, "an array"))
    if isinstance(kind, type) and issubclass(kind, tuple):
        items, hints = _require(value, list, "an array"), _hints(kind).values()
        if len(items) != len(hints):
            raise ValueError(f"expected {len(hints)} values, got {len(items)}")
        return kind(*map(decode, items, hints))
    if arguments:
        return _decode_union(value, arguments)
    return _decode_scalar(value, kind)


def _decode_fields(value: object, kind: type) -> Any:
    entries = _require(value, dict, "an object")
    fields = {}
    for name, hint in _hints(kind).items():
        try:
            fields[name] = decode(entries[name], hint)
        except KeyError:
            raise ValueError(f"{name} is missing") from None
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return kind(**fields)


def _decode_union(value: object, kinds: tuple[Any, ...]) -> Any:
    reason = ""
    for kind in kinds:
        try:
            return decode(value, kind)
        except ValueError as error:
            reason = reason or str(error)
    raise ValueError(reason)


def _decode_scalar(value: object, kind: Any) -> Any:
    if issubclass(kind, enum.Enum):
        # True equals 1, and is no member.
        members = {(type(each.value), each.value): each for each in kind}
        found = members.get((type(value), value)) if isinstance(value, (int, str)) else None
        if found is None:
            raise ValueError(f"expected one of {', '.join(str(each.value) for each in kind)}")
        return found
    if kind is float and type(value) in (int, float):
        # NaN and infinities are no JSON, and an integer may be too large for a float.
        if abs(number := typing.cast("float", value)) <= sys.float_info.max:
            return float(number)
    elif type(value) is kind and not (isinstance(value, str) and _SURROGATES.search(value)):
        return value
    raise ValueError(f"expected {kind.__name__}")


def _require(value: object, kind: type[_T], what: str) -> _T:
    if not isinstance(value, kind):
        raise ValueError(f"expected {what}")
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)
