"""The network of a checkpoint up to the embedding: a symbol and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.engine.pytorch.mxnet import files, symbol_json
from mfn_patcher.engine.pytorch.mxnet.symbol_json import Graph
from mfn_patcher.export.onnx_graph import count_subnormal
from mfn_patcher.export.onnx_operators import Array


@dataclass(frozen=True)
class Slim:
    """A network.

    Attributes:
        graph: its symbol.
        arrays: its parameters by name, auxiliary states among them.
    """

    graph: Graph
    arrays: Mapping[str, Array]

    @property
    def parameters(self) -> int:
        """How many numbers its parameters are."""
        return sum(array.size for array in self.arrays.values())

    @property
    def subnormal(self) -> int:
        """How many of them are neither zero nor normal in single precision."""
        return sum(map(count_subnormal, self.arrays.values()))

    @property
    def scaling(self) -> tuple[tuple[str, float], ...]:
        """What it does to pixels first: pairs of operator and number."""
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


def read(symbol: Path, params: Path) -> Slim:
    """Read the files of a network."""
    with params.open("rb") as file:
        arrays, names = files.read(file)
    # MXNet puts "arg:" or "aux:" before each.
    named = {name.partition(":")[2]: array for name, array in zip(names, arrays)}
    return Slim(symbol_json.loads(symbol.read_text(encoding="utf-8")), named)
