"""Estimates the memory that a network needs besides its parameters, from its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from .fusion import fuse
from .nodes import Node
from .shapes import Shape
from .symbol import Symbol, from_graph


def estimate(symbol: Symbol, known: Mapping[str, Shape], itemsize: int, training: bool) -> int:
    """Return the bytes of the activations, including gradients in training.

    A training step keeps the activations that backward reads again, and needs the gradients of at
    most two neighbouring layers at a time; inference needs the largest two layers.

    Args:
        symbol: the network.
        known: shapes of data and labels.
        itemsize: bytes per number.
        training: whether to estimate a training step.
    """
    sizes: dict[Node, int] = {}
    kept: set[Node] = set()
    for node, outputs in from_graph(fuse(symbol.graph())).infer_node_shapes(**known):
        sizes[node] = sum(prod(shape) for shape in outputs if shape is not None)
        if node.operator is not None and node.operator.saves_input:
            kept.add(node.inputs[0][0])
    # Data and labels are not operators; they are counted elsewhere.
    held = sum(sizes.get(node, 0) for node in kept)
    largest = sorted(sizes.values())[-4 if training else -2 :]
    return itemsize * (sum(largest) + (held if training else 0))
