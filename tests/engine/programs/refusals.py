"""The errors for what the engine does not offer; runs on the engine.

Prints a JSON object with the type and the text of the error of each attempt.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import mxnet as mx

x = mx.sym.Variable("x")


def node(op: str, **attributes: str) -> str:
    """Return the text of a graph with one operator."""
    graph = json.loads((x + 1).tojson())
    graph["nodes"][1].update(op=op, attrs=attributes)
    return json.dumps(graph)


def module(symbol: Any, **options: Any) -> Any:
    """Return a module bound to a symbol with one input."""
    made = mx.mod.Module(symbol, data_names=["x"], label_names=None, **options)
    made.bind([("x", (2, 3))], for_training=True)
    return made


ATTEMPTS: dict[str, Callable[[], Any]] = {
    "operator when composed": lambda: mx.sym.Deconvolution(x),
    "operator of a file": lambda: module(mx.sym.load_json(node("Deconvolution"))),
    "attribute": lambda: module(mx.sym.LeakyReLU(x, act_type="elu")),
    "unknown attribute": lambda: mx.sym.Activation(x, act_type="relu", colour="red"),
    "missing attribute": lambda: mx.sym.FullyConnected(x),
    "module of the package": lambda: mx.contrib,
    "function of arrays": lambda: mx.nd.sparse,
    "optimizer": lambda: mx.optimizer.Adam,
    "setting of SGD": lambda: mx.optimizer.SGD(clip_gradient=1.0),
    "fewer images than devices": lambda: module(x + 1, context=[mx.cpu(i) for i in range(9)]),
    "array without axes": lambda: mx.nd.save("/dev/null", {"x": mx.nd.array(1.0)}),
    "graph that is torn": lambda: mx.sym.load_json((x + 1).tojson()[:-9]),
    "shapes that do not fit": lambda: (x + mx.sym.Variable("y")).infer_shape(x=(2, 3), y=(3, 2)),
}


def attempt(action: Callable[[], Any]) -> list[Any] | None:
    """Return the type and text of the error that an action raises, or None."""
    try:
        action()
    except Exception as error:
        return [isinstance(error, mx.MXNetError), type(error).__name__, str(error)]
    return None


sys.stdout.write("\n" + json.dumps({k: attempt(v) for k, v in ATTEMPTS.items()}) + "\n")
