"""Fusing several operators into one."""

from __future__ import annotations

from typing import Any

from .symbol_json import Graph, GraphNode

# How the patched networks write PReLU, because MXNet computes the gradient of its own operator
# wrongly: relu(data) + minimum(data, 0) * slopes. A pattern is an operator, its attributes, and its
# inputs.
_PRELU: tuple[Any, ...] = (
    "elemwise_add",
    {},
    ("Activation", {"act_type": "relu"}, "data"),
    ("broadcast_mul", {}, ("_minimum_scalar", {"scalar": "0"}, "data"), ("Reshape", {}, "gamma")),
)

_Entry = tuple[int, int]


def fuse(graph: Graph) -> Graph:
    """Return a graph in which each composed PReLU is one operator.

    Arguments, states, outputs and gradients are the same.
    """
    nodes = list(graph.nodes)
    for position, inputs in find_prelus(graph).items():
        name = nodes[position].name
        nodes[position] = GraphNode("LeakyReLU", name, {"act_type": "prelu"}, inputs)
    return _without_dead_ends(Graph(tuple(nodes), graph.heads))


def find_prelus(graph: Graph) -> dict[int, tuple[_Entry, _Entry]]:
    """Return data and slopes of each composed PReLU, by the position of its last node."""
    prelus = {}
    for position in range(len(graph.nodes)):
        found: dict[str, _Entry] = {}
        if _matches(graph.nodes, (position, 0), _PRELU, found) and _is_vector(graph, position):
            prelus[position] = (found["data"], found["gamma"])
    return prelus


def _matches(
    nodes: tuple[GraphNode, ...], entry: _Entry, pattern: Any, found: dict[str, _Entry]
) -> bool:
    """Return whether an output matches a pattern; collect the entries that the pattern names."""
    if isinstance(pattern, str):
        return found.setdefault(pattern, entry) == entry
    operator, attributes, *inputs = pattern
    node = nodes[entry[0]]
    return (
        node.op == operator
        and attributes.items() <= node.attributes.items()
        and len(node.inputs) == len(inputs)
        and all(_matches(nodes, *pair, found) for pair in zip(node.inputs, inputs))
    )


def _is_vector(graph: Graph, position: int) -> bool:
    """Return whether the slopes of a composed PReLU belong to axis 1."""
    product = graph.nodes[graph.nodes[position].inputs[1][0]]
    shape = graph.nodes[product.inputs[1][0]].attributes.get("shape", "")
    return shape.replace(" ", "").startswith("(1,-1") and "-1" not in shape.replace(" ", "")[5:]


def _without_dead_ends(graph: Graph) -> Graph:
    """Return a graph without the operators that no output depends on."""
    needed = {source for source, _ in graph.heads}
    for position in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[position]
        if node.op == "null":
            needed.add(position)  # arguments are kept even if they are unused
        elif position in needed:
            needed |= {source for source, _ in node.inputs}
    kept = sorted(needed)
    places = {position: place for place, position in enumerate(kept)}

    def move(entries: tuple[_Entry, ...]) -> tuple[_Entry, ...]:
        return tuple((places[source], output) for source, output in entries)

    nodes = (graph.nodes[position] for position in kept)
    moved = (GraphNode(n.op, n.name, n.attributes, move(n.inputs)) for n in nodes)
    return Graph(tuple(moved), move(graph.heads))
