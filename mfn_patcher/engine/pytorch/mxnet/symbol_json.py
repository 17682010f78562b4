"""Symbol files: graphs as JSON, which are written as MXNet writes them, to the byte."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .base import MXNetError

VERSION = 10901  # the files contain the version of MXNet, 1.9.1


@dataclass(frozen=True)
class GraphNode:
    """A variable or an operator of a graph.

    Attributes:
        op: name of the operator; ``null`` for a variable.
        name: name of the node.
        attributes: attributes, as strings.
        inputs: inputs, each as the position of a node and the number of its output.
    """

    op: str
    name: str
    attributes: Mapping[str, str]
    inputs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Graph:
    """A graph.

    Attributes:
        nodes: the nodes, in topological order.
        heads: outputs, each as the position of a node and the number of its output.
    """

    nodes: tuple[GraphNode, ...]
    heads: tuple[tuple[int, int], ...]


def loads(text: str) -> Graph:
    """Read a graph.

    Raises:
        MXNetError: The text is not a symbol file.
    """
    try:
        found = json.loads(text)
        nodes = tuple(
            GraphNode(
                node["op"],
                node["name"],
                # Early versions of MXNet wrote "param" and "attr".
                node.get("attrs") or node.get("attr") or node.get("param") or {},
                tuple((entry[0], entry[1]) for entry in node["inputs"]),
            )
            for node in found["nodes"]
        )
        heads = tuple((head[0], head[1]) for head in found["heads"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise MXNetError(f"not a symbol file: {type(error).__name__}: {error}") from None
    for position, node in enumerate(nodes):
        if any(not 0 <= source < position for source, _ in node.inputs):
            raise MXNetError(f"not a symbol file: {node.name} reads from a later node")
    if any(not 0 <= source < len(nodes) for source, _ in heads):
        raise MXNetError("not a symbol file: an output refers to a missing node")
    return Graph(nodes, heads)


def dumps(graph: Graph, outputs: Iterable[int], states: Iterable[frozenset[int]]) -> str:
    """Write a graph.

    Args:
        graph: the graph.
        outputs: number of outputs of each node, including hidden ones.
        states: for each node, the positions of the inputs that are states.
    """
    nodes = [_write_node(node, changed) for node, changed in zip(graph.nodes, states)]
    variables = [i for i, node in enumerate(graph.nodes) if node.op == "null"]
    rows = [0]
    for count in outputs:
        rows.append(rows[-1] + count)
    heads = [f"[{node}, {output}, 0]" for node, output in graph.heads]
    parts = [
        '"nodes": ' + _list(nodes, "    ", lines=True),
        '"arg_nodes": ' + _list(map(str, variables), "    "),
        '"node_row_ptr": ' + _list(map(str, rows), "    "),
        '"heads": ' + _list(heads, "    "),
        f'"attrs": {{"mxnet_version": ["int", {VERSION}]}}',
    ]
    return "{\n  " + ", \n  ".join(parts) + "\n}"


def _write_node(node: GraphNode, changed: frozenset[int]) -> str:
    parts = [f'"op": {_text(node.op)}', f'"name": {_text(node.name)}']
    if node.attributes:
        pairs = [f"{_text(key)}: {_text(value)}" for key, value in sorted(node.attributes.items())]
        if len(pairs) == 1:
            parts.append(f'"attrs": {{{pairs[0]}}}')
        else:
            inner = ", \n        ".join(pairs)
            parts.append(f'"attrs": {{\n        {inner}\n      }}')
    # The third number is the version of a state: how many nodes have updated it.
    entries = [
        f"[{source}, {output}, {int(i in changed)}]"
        for i, (source, output) in enumerate(node.inputs)
    ]
    parts.append('"inputs": ' + _list(entries, "        "))
    inner = ", \n      ".join(parts)
    return f"{{\n      {inner}\n    }}"


def _list(items: Iterable[str], indent: str, lines: bool = False) -> str:
    """Format a list: short lists of numbers on one line, others with one item per line."""
    items = list(items)
    if not items:
        return "[]"
    if not lines and len(items) <= 10:
        return f"[{', '.join(items)}]"
    separator = ", \n" + indent
    return f"[\n{indent}{separator.join(items)}\n{indent[:-2]}]"


_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _text(value: str) -> str:
    return f'"{value.translate(_ESCAPES)}"'
