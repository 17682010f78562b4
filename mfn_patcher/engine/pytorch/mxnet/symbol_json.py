"""Symbol files: a graph as JSON, read from MXNet's and written to the byte as MXNet does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .base import MXNetError

VERSION = 10901  # of MXNet 1.9.1, which the files name


@dataclass(frozen=True)
class GraphNode:
    """A variable or an operator of a graph.

    Attributes:
        op: the operator's name; ``null`` for a variable.
        name: its own name.
        attributes: its attributes, as strings.
        inputs: where its inputs come from: the position of a node and which of its outputs.
    """

    op: str
    name: str
    attributes: Mapping[str, str]
    inputs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Graph:
    """A graph, each node after those that it reads from.

    Attributes:
        nodes: its nodes.
        heads: its outputs: the position of a node and which of its outputs.
    """

    nodes: tuple[GraphNode, ...]
    heads: tuple[tuple[int, int], ...]


def loads(text: str) -> Graph:
    """Read a graph.

    Raises:
        MXNetError: The text is no symbol file.
    """
    try:
        found = json.loads(text)
        nodes = tuple(
            GraphNode(
                node["op"],
                node["name"],
                # MXNet wrote "param" and "attr" in its early days.
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
        raise MXNetError("not a symbol file: an output of a node that is not there")
    return Graph(nodes, heads)


def dumps(graph: Graph, outputs: Iterable[int], states: Iterable[frozenset[int]]) -> str:
    """Write a graph.

    Args:
        graph: the graph.
        outputs: how many outputs each node has, hidden ones too.
        states: which inputs of each node are states that it changes.
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
    # The third number counts how often a state was changed before.
    entries = [
        f"[{source}, {output}, {int(i in changed)}]"
        for i, (source, output) in enumerate(node.inputs)
    ]
    parts.append('"inputs": ' + _list(entries, "        "))
    inner = ", \n      ".join(parts)
    return f"{{\n      {inner}\n    }}"


def _list(items: Iterable[str], indent: str, lines: bool = False) -> str:
    """Write a list: short ones of numbers on one line, others with an item a line."""
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
