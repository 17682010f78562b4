from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from mfn_patcher.typed_json import FileName, decode


class Colour(enum.Enum):
    RED = "red"
    ONE = 1


class Place(NamedTuple):
    name: str
    port: int


@dataclass(frozen=True)
class Inner:
    number: float


@dataclass(frozen=True)
class Outer:
    inner: Inner
    places: tuple[Place, ...] = ()
    names: Mapping[str, int] | None = None


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("é", str, "é"),
        (["\udcff"], tuple[FileName, ...], ("\udcff",)),
        (True, bool, True),
        (3, float, 3.0),
        (None, int | None, None),
        (3, int | None, 3),
        ("red", Colour, Colour.RED),
        (1, Colour, Colour.ONE),
        (["a", 2], Place, Place("a", 2)),
        ([[1], []], tuple[tuple[int, ...], ...], ((1,), ())),
        (
            {"inner": {"number": 1.5, "new": []}, "places": [["a", 2]], "names": {"b": 3}},
            Outer,
            Outer(Inner(1.5), (Place("a", 2),), {"b": 3}),
        ),
    ],
)
def test_values_become_what_is_declared(value: object, hint: Any, expected: object) -> None:
    found = decode(value, hint)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "reason"),
    [
        (1, bool, "expected bool"),
        (True, int, "expected int"),
        (1.0, int, "expected int"),
        ("1", float, "expected float"),
        (float("nan"), float, "expected float"),
        (10**400, float, "expected float"),
        ("\udc80", str, "expected str"),
        ({"\udc80": 1}, Mapping[str, int], "expected str"),
        ([], Mapping[str, int], "expected an object"),
        ("ab", tuple[str, ...], "expected an array"),
        (["a"], Place, "expected 2 values, got 1"),
        ("blue", Colour, "expected one of red, 1"),
        (True, Colour, "expected one of"),
        ([], Colour, "expected one of"),
        ("x", int | None, "expected int"),
        (7, Outer, "expected an object"),
        ({"inner": {"number": 1}, "places": []}, Outer, "names is missing"),
        ({"inner": {"number": "1"}}, Outer, "inner: number: expected float"),
    ],
)
def test_anything_else_is_refused(value: object, hint: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        decode(value, hint)
