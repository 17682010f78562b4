"""The network of a checkpoint up to the embedding: its symbol and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfn_patcher.engine.pytorch.mxnet import files, symbol_json
from mfn_patcher.engine.pytorch.mxnet.symbol_json import Graph
from mfn_patcher.export.onnx_operators import Array

_TINY = np.finfo(np.float32).tiny


def count_subnormal(array: Array) -> int:
    """Return how many numbers are subnormal in single precision: neither zero nor normal."""
    return int(np.count_nonzero((array != 0) & (np.abs(array) < _TINY)))


@dataclass(frozen=True)
class Backbone:
    """A network up to the embedding.

    Attributes:
        graph: graph of its symbol.
        arrays: its parameters and auxiliary states, by name.
    """

    graph: Graph
    arrays: Mapping[str, Array]

    @property
    def parameters(self) -> int:
        """Number of its parameters, counted one by one."""
        return sum(array.size for array in self.arrays.values())

    @property
    def subnormal(self) -> int:
        """Number of parameters that are subnormal in single precision."""
        return sum(map(count_subnormal, self.arrays.values()))

    @property
    def scaling(self) -> tuple[tuple[str, float], ...]:
        """What it first does to pixels: pairs of operator and number."""
        nodes = self.graph.nodes
        current = next(i for i, node in enumerate(nodes) if node.name == "data")
        steps: list[tuple[str, float]] = []
        while True:
            users = [
                i
                for i, node in enumerate(nodes)
                if any(source == current for source, _ in node.inputs)
            ]
            user = nodes[users[0]]
            if len(users) > 1 or not user.op.endswith(("_scalar", "_copy")):
                return tuple(steps)
            if user.op != "_copy":
                steps.append((user.op.strip("_"), float(user.attributes["scalar"])))
            (current,) = users


def read(symbol: Path, params: Path) -> Backbone:
    """Read a network from MXNet's files."""
    with params.open("rb") as file:
        arrays, names = files.read(file)
    # MXNet puts "arg:" or "aux:" before each name.
    named = {name.partition(":")[2]: array for name, array in zip(names, arrays)}
    return Backbone(symbol_json.loads(symbol.read_text(encoding="utf-8")), named)
