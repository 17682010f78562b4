"""The nodes of symbols, their order and their shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import shapes
from .attributes import parse
from .base import MXNetError
from .declaration import Operator
from .shapes import Shape


class Node:
    """A variable or an operator.

    Attributes:
        operator: the operator; None for a variable.
        name: name of the node.
        attributes: attributes, as strings.
        values: values of the operator's attributes, including defaults.
        inputs: the nodes that it reads, each with the number of the output.
    """

    __slots__ = ("attributes", "inputs", "name", "operator", "values")

    def __init__(
        self,
        operator: Operator | None,
        name: str,
        attributes: Mapping[str, str],
        inputs: Sequence[tuple[Node, int]] = (),
    ) -> None:
        """Create a node; the attributes must be valid for the operator."""
        self.operator, self.name = operator, name
        self.attributes, self.inputs = dict(attributes), tuple(inputs)
        self.values: dict[str, Any] = (
            parse(operator.name, operator.attributes, attributes) if operator else {}
        )

    def visible(self) -> int:
        """Return the number of outputs that a symbol of the node has."""
        return self.operator.count_outputs(self.values) if self.operator else 1

    def states(self) -> frozenset[int]:
        """Return the positions of the inputs that are states, which the node updates."""
        if self.operator is None or not self.operator.auxiliary:
            return frozenset()
        return frozenset(range(len(self.inputs) - self.operator.auxiliary, len(self.inputs)))


Output = tuple[Node, int]
"""A node and the number of one of its outputs."""


def visit(roots: Sequence[Output]) -> list[Node]:
    """Return all nodes in MXNet's topological order."""
    order: list[Node] = []
    seen: set[Node] = set()
    for root, _ in roots:
        stack = [(root, 0)]
        while stack:
            node, begin = stack.pop()
            if node in seen:
                continue
            for i in range(begin, len(node.inputs)):
                if node.inputs[i][0] not in seen:
                    stack.append((node, i + 1))
                    stack.append((node.inputs[i][0], 0))
                    break
            else:
                seen.add(node)
                order.append(node)
    return order


def infer_shapes(nodes: Sequence[Node], known: Mapping[str, Shape]) -> dict[Output, Shape | None]:
    """Return the shape of each output, as far as it can be inferred.

    Args:
        nodes: the nodes in topological order.
        known: shapes of arguments by name; an extent of 0 is unknown.

    Raises:
        MXNetError: Shapes contradict each other, or a name is not an argument.
    """
    names = {node.name for node in nodes if node.operator is None}
    unknown = sorted(set(known) - names)
    if unknown:
        raise MXNetError(f"the symbol has no argument {', '.join(unknown)}")
    found: dict[Output, Shape | None] = {}
    for node in nodes:
        if node.operator is None:
            declared = node.attributes.get("__shape__")
            own = _parse_shape(declared) if declared else None
            found[node, 0] = shapes.merge(own, known.get(node.name))
    # The shape of a label follows from a later node, so another pass may infer more.
    while True:
        before = dict(found)
        for node in nodes:
            if node.operator is not None:
                _infer_node(node, node.operator, found)
        if found == before:
            return found


def _infer_node(node: Node, operator: Operator, found: dict[Output, Shape | None]) -> None:
    try:
        inputs, outputs = operator.shapes(node.values, [found.get(i) for i in node.inputs])
        for output, shape in zip(node.inputs, inputs):
            found[output] = shapes.merge(found.get(output), shape)
        for index, shape in enumerate(outputs):
            found[node, index] = shapes.merge(found.get((node, index)), shape)
    except ValueError as error:
        raise MXNetError(
            f"the shapes at {node.name} ({operator.name}) do not fit: {error}"
        ) from None


def _parse_shape(text: str) -> Shape:
    return tuple(int(part) for part in text.strip("()[] ").split(",") if part.strip())
