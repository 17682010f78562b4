"""How much memory a network needs besides its parameters, reckoned from its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from .fusion import fuse
from .nodes import Node
from .shapes import Shape
from .symbol import Symbol, from_graph


def estimate(symbol: Symbol, known: Mapping[str, Shape], itemsize: int, training: bool) -> int:
    """Return bytes of activations, with their gradients in training.

    A training step keeps what backward reads again, and has at most the gradients of two
    neighbouring layers at a time; inference has the largest two layers.

    Args:
        symbol: the network.
        known: the shapes of data and labels.
        itemsize: bytes a number.
        training: whether backward follows.
    """
    sizes: dict[Node, int] = {}
    kept: set[Node] = set()
    for node, outputs in from_graph(fuse(symbol.graph())).infer_node_shapes(**known):
        sizes[node] = sum(prod(shape) for shape in outputs if shape is not None)
        if node.operator is not None and node.operator.saves_input:
            kept.add(node.inputs[0][0])
    # Data and labels are no operators, and counted elsewhere.
    held = sum(sizes.get(node, 0) for node in kept)
    largest = sorted(sizes.values())[-4 if training else -2 :]
    return itemsize * (sum(largest) + (held if training else 0))
