"""What the networks make of PReLU; a program for the src folder.

    python prelu.py NETWORK...

Prints JSON: "networks" has, for each network, the nodes of its symbol with each PReLU as one
operator, and how many of these the symbol itself has. "odd" are the outputs and the gradients of
the data that one PReLU computes from numbers that are odd, composed and as one operator.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path.cwd()), str(Path(__file__).parents[3])]
networks, sys.argv = sys.argv[1:], ["train_softmax.py"]
import mxnet as mx
import numpy as np
import train_softmax  # finds the symbols, too
from symbols import symbol_utils

from mfn_patcher.children.programs.prelu import with_prelu

ODD = (-2, -1e30, -1e-39, -0.0, 0.0, 1e-39, 3, 1e30, float("inf"), float("-inf"), float("nan"), 1)


def count(nodes: list[dict[str, Any]]) -> int:
    """Return how many nodes are PReLUs."""
    return sum(node["op"] == "LeakyReLU" for node in nodes)


def describe(network: str) -> dict[str, Any]:
    """Return the nodes of a network's symbol and the number of its PReLUs."""
    sys.argv = ["train_softmax.py", "--network", network, "--emb-size", "128"]
    arguments = train_softmax.parse_args()
    arguments.image_channel, arguments.image_h, arguments.image_w = 3, 112, 112
    arguments.num_classes, arguments.num_layers = 20, int(network[1:])
    with mx.name.NameManager():
        symbol, _, _ = train_softmax.get_symbol(arguments, None, None)
    nodes = json.loads(with_prelu(symbol).tojson())["nodes"]
    for node in nodes:
        # Slopes have the same first values, written in another way, and a shape of their own.
        if node["op"] == "null":
            attributes = node.pop("attrs", {})
            first = json.loads(attributes.get("__init__", "null").lower())
            multipliers = {name: attributes[name] for name in attributes if "mult" in name}
            node.update(first=first, multipliers=multipliers)
    return {"nodes": nodes, "prelu": count(json.loads(symbol.tojson())["nodes"])}


def compute(symbol: Any, slope: float) -> list[list[str]]:
    """Return outputs and gradients for the odd numbers, as text: NaN is equal to NaN."""
    data = mx.nd.array(np.array(ODD, np.float32).reshape(1, 3, 2, 2))
    arrays = {"data": data, "odd_gamma": mx.nd.full((3,), slope)}
    gradients = {name: mx.nd.zeros_like(array) for name, array in arrays.items()}
    executor = symbol.bind(mx.cpu(), arrays, args_grad=gradients)
    (output,) = executor.forward(is_train=True)
    executor.backward(mx.nd.ones_like(data))
    # Adding zero takes the sign from a zero, which the composed one does not keep.
    return [
        [float(value).hex() for value in (array.asnumpy() + 0.0).ravel()[:kept]]
        for array, kept in ((output, len(ODD)), (gradients["data"], len(ODD) - 2))
    ]


composed = symbol_utils.Act(data=mx.sym.Variable("data") * 1, act_type="prelu", name="odd")
odd = [
    [compute(symbol, slope) for slope in (0.25, 1.5, -0.5)]
    for symbol in (composed, with_prelu(composed))
]
report = {"networks": {network: describe(network) for network in networks}, "odd": odd}
sys.stdout.write("\n" + json.dumps(report) + "\n")
