"""Recorded cases of operators, and their distance from other results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# The keys with arrays by name, and those with arrays in order.
NAMED = (
    "arguments",
    "auxiliary",
    "gradients",
    "forward_auxiliary",
    "auxiliary_after",
    "arguments_after",
)
LISTED = ("inference", "heads", "training")
# The inputs; all other keys are outputs.
INPUTS = ("arguments", "auxiliary", "heads")


@dataclass(frozen=True)
class Case:
    """A symbol, its inputs and its outputs, by the keys that `record_operators.py` lists."""

    name: str
    symbol: str
    dtype: str
    tolerance: float
    named: dict[str, dict[str, Array]]
    listed: dict[str, list[Array]]

    def expected(self) -> dict[tuple[str, str], Array]:
        """Return all outputs by key and name; arrays in order are named by their position."""
        listed = {key: {str(i): a for i, a in enumerate(them)} for key, them in self.listed.items()}
        return {
            (key, name): array
            for key, arrays in {**self.named, **listed}.items()
            for name, array in arrays.items()
            if key not in INPUTS
        }


def load(path: Path) -> dict[str, Case]:
    """Return the cases of a file, by name."""
    with np.load(path, allow_pickle=False) as file:
        described, numbers = json.loads(file["cases"].tobytes()), file["numbers"]

    def array(place: list[Any]) -> Array:
        start, shape = place
        part: Array = numbers[start : start + int(np.prod(shape, dtype=int))]
        return part.reshape(shape)

    def read(case: dict[str, Any]) -> Case:
        named = {
            key: {name: array(place) for name, place in case[key].items()}
            for key in NAMED
            if key in case
        }
        listed = {key: [array(place) for place in case[key]] for key in LISTED if key in case}
        return Case(case["name"], case["symbol"], case["dtype"], case["tolerance"], named, listed)

    return {case["name"]: read(case) for case in described["cases"]}


def listing(cases: Iterable[Case]) -> str:
    """Return one line per case, which shows in a diff what has changed in the binary file.

    A line has name, precision, shapes of the arguments, operators with their attributes, and short
    digests of all inputs and of all outputs.
    """
    return "".join(f"{_describe(case)}\n" for case in cases)


def _describe(case: Case) -> str:
    shapes = ", ".join(
        f"{name} {'x'.join(map(str, array.shape)) or 'scalar'}"
        for name, array in case.named["arguments"].items()
    )
    operators = "; ".join(
        " ".join(
            [node["op"], *(f"{name}={value}" for name, value in node.get("attrs", {}).items())]
        )
        for node in json.loads(case.symbol)["nodes"]
        if node["op"] != "null"
    )
    given = _digest(case, lambda key: key in INPUTS)
    computed = _digest(case, lambda key: key not in INPUTS)
    return f"{case.name} | {case.dtype} | {shapes} | {operators} | {given} -> {computed}"


def _digest(case: Case, wanted: Callable[[str], bool]) -> str:
    digest = hashlib.sha256()
    for key in filter(wanted, (*NAMED, *LISTED)):
        arrays = case.named.get(key, {}).items() or enumerate(case.listed.get(key, []))
        for name, array in arrays:
            digest.update(f"{key} {name} {array.shape} ".encode())
            digest.update(array.astype("<f8").tobytes())
    return digest.hexdigest()[:8]


def distance(found: Array, expected: Array) -> float:
    """Return the largest difference relative to the largest expected number, or infinity."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    scale = abs(expected).max(initial=0) or 1.0
    return float(abs(found - expected).max(initial=0) / scale)
