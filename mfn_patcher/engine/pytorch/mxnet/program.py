"""Compiles a graph to a straight-line Python function with one line of PyTorch per node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional

from . import kernels
from .attributes import parse
from .base import OutOfScopeError
from .declaration import Operator
from .fusion import fuse
from .operators import OPERATORS
from .symbol_json import Graph

Tensors = Sequence[Any]
Statistics = tuple[Any, Any]
Function = Callable[[Tensors, Tensors], "tuple[tuple[Any, ...], tuple[Statistics, ...]]"]


@dataclass(frozen=True)
class Moving:
    """The moving averages of a batch norm, which a training step updates.

    Attributes:
        mean: position of the mean among the states.
        variance: position of the variance among the states.
        momentum: weight of the old value.
        epsilon: number that the returned statistics add to the variance.
    """

    mean: int
    variance: int
    momentum: float
    epsilon: float


@dataclass(frozen=True)
class Program:
    """A compiled graph.

    Attributes:
        arguments: names of the arguments, in order.
        states: names of the states, in order.
        ones: names of the arguments that every run sets to 1, which are fixed gammas.
        moving: the moving averages that the returned statistics belong to, in order.
        source: source code of the function.
        run: function that returns outputs and statistics for arguments and states.
    """

    arguments: tuple[str, ...]
    states: tuple[str, ...]
    ones: tuple[str, ...]
    moving: tuple[Moving, ...]
    source: str
    run: Function


def compile_graph(graph: Graph, training: bool, precision: str = "fp32") -> Program:
    """Compile a graph.

    Args:
        graph: the graph.
        training: whether to compute a training step: batch norms use the statistics of the batch,
            and dropout drops.
        precision: precision of what its first output depends on, which is the embedding; one of
            `settings.PRECISIONS`.

    Raises:
        OutOfScopeError: The graph has an operator that this engine does not have.
        MXNetError: An attribute is invalid.
    """
    fused = fuse(graph)
    writer = _Writer(fused, training, precision)
    for position, node in enumerate(fused.nodes):
        if node.op != "null":
            writer.write(position)
    source = writer.finish()
    return Program(
        tuple(fused.nodes[i].name for i in writer.arguments),
        tuple(fused.nodes[i].name for i in writer.states),
        tuple(writer.ones),
        tuple(writer.moving),
        source,
        _define(source),
    )


class _Writer:
    """Writes the source code of a graph, line by line."""

    def __init__(self, graph: Graph, training: bool, precision: str) -> None:
        self._graph, self._training, self._precision = graph, training, precision
        self._embedding = _find_ancestors(graph, graph.heads[0][0])
        variables = [i for i, node in enumerate(graph.nodes) if node.op == "null"]
        states = _find_states(graph)
        self.arguments = [i for i in variables if i not in states]
        self.states = [i for i in variables if i in states]
        self.ones: list[str] = []
        self.moving: list[Moving] = []
        self._texts = {position: f"a[{i}]" for i, position in enumerate(self.arguments)}
        self._texts |= {position: f"s[{i}]" for i, position in enumerate(self.states)}
        self._statistics: list[str] = []
        self._last = _find_last_uses(graph)
        self._lines: list[str] = []

    def write(self, position: int) -> None:
        """Write the line of an operator, and delete the variables that no later line reads."""
        node = self._graph.nodes[position]
        operator = OPERATORS.get(node.op)
        if operator is None:
            raise OutOfScopeError(f"operator {node.op} ({node.name})")
        values = parse(f"{node.name} ({node.op})", operator.attributes, node.attributes)
        inputs = [self._entry(*i) for i in node.inputs]
        code = self._in_precision(position, operator, values, inputs)
        target = self._texts[position] = f"v{position}"
        if operator.auxiliary:
            target += self._normalize(position, values)
        self._lines.append(f"{target} = {code}")
        # Without this, all intermediate results would stay in memory until the function returns.
        done = [self._texts[i] for i in self._last.get(position, ())]
        if done:
            self._lines.append(f"del {', '.join(done)}")

    def _in_precision(
        self, position: int, operator: Operator, values: dict[str, Any], inputs: list[str]
    ) -> str:
        """Return the code of an operator in the precision of its part of the graph."""
        matrix = operator.name == "FullyConnected"
        faster = position in self._embedding and (matrix or operator.name == "Convolution")
        if self._precision == "bf16" and faster:
            inputs = [f"{text}.bfloat16()" for text in inputs]
        code = operator.code(values, inputs, self._training)
        if self._precision == "bf16" and faster and matrix:
            return f"{code}.float()"
        if self._precision == "tf32" and matrix and not faster:
            return f"exact_{code}"
        return code

    def _normalize(self, position: int, values: dict[str, Any]) -> str:
        """Register the moving averages of a batch norm; return the target of its statistics."""
        inputs = [source for source, _ in self._graph.nodes[position].inputs]
        if values["fix_gamma"]:
            self.ones.append(self._graph.nodes[inputs[1]].name)
        if not self._training or values["use_global_stats"]:
            return ""
        mean, variance = (self.states.index(source) for source in inputs[3:])
        self.moving.append(Moving(mean, variance, values["momentum"], values["eps"]))
        self._statistics.append(f"m{position}")
        return f", m{position}"

    def finish(self) -> str:
        """Return the source code of the function."""
        outputs = "".join(f"{self._entry(*head)}, " for head in self._graph.heads)
        statistics = "".join(f"{name}, " for name in self._statistics)
        self._lines.append(f"return ({outputs}), ({statistics})")
        return "def run(a, s):\n" + "".join(f"    {line}\n" for line in self._lines)

    def _entry(self, source: int, output: int) -> str:
        operator = OPERATORS.get(self._graph.nodes[source].op)
        is_tuple = operator is not None and operator.outputs is not None
        return f"{self._texts[source]}[{output}]" if is_tuple else self._texts[source]


def _find_states(graph: Graph) -> set[int]:
    """Return the positions of the variables that are states."""
    found = set()
    for node in graph.nodes:
        operator: Operator | None = OPERATORS.get(node.op)
        if operator and operator.auxiliary:
            found |= {source for source, _ in node.inputs[-operator.auxiliary :]}
    return found


def _find_ancestors(graph: Graph, position: int) -> set[int]:
    """Return a node and all nodes that it depends on."""
    found = {position}
    for place in range(position, -1, -1):
        if place in found:
            found |= {source for source, _ in graph.nodes[place].inputs}
    return found


def _find_last_uses(graph: Graph) -> dict[int, list[int]]:
    """Return the nodes whose outputs are read for the last time, by the node that reads them."""
    last: dict[int, int] = {}
    for position, node in enumerate(graph.nodes):
        for source, _ in node.inputs:
            last[source] = position
    kept = {source for source, _ in graph.heads}
    found: dict[int, list[int]] = {}
    for source, position in last.items():
        if source not in kept and graph.nodes[source].op != "null":
            found.setdefault(position, []).append(source)
    return found


def _define(source: str) -> Function:
    names: dict[str, Any] = {"torch": torch, "F": torch.nn.functional}
    names |= {name: value for name, value in vars(kernels).items() if not name.startswith("_")}
    exec(compile(source, "<program of a symbol>", "exec"), names)  # noqa: S102 - the source is generated above from numbers and known words
    function: Function = names["run"]
    return function
