"""Networks of a few operators as ONNX files, run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from mfn_patcher.engine.pytorch.mxnet import symbol_json
from mfn_patcher.engine.pytorch.mxnet.symbol import Symbol
from mfn_patcher.export import onnx_file
from mfn_patcher.export.onnx_graph import Translated, translate
from mfn_patcher.export.onnx_operators import Array


def translated(
    symbol: str, arrays: Mapping[str, Array], *, head: int = 0
) -> tuple[Translated, Array]:
    """Translate one output of a symbol; its first argument becomes ``data`` and is returned too."""
    graph = symbol_json.loads(symbol)
    first = next(node.name for node in graph.nodes if node.op == "null")
    nodes = (
        replace(node, name="data") if node.op == "null" and node.name == first else node
        for node in graph.nodes
    )
    parameters = dict(arrays)
    data = parameters.pop(first)
    graph = replace(graph, nodes=tuple(nodes), heads=(graph.heads[head],))
    return translate(graph, parameters, data.shape[1:]), data


def run(network: Translated, data: Array, folder: Path, *, half: bool = False) -> dict[str, Any]:
    """Write a network and run it; return all outputs by name."""
    onnx_file.write(network, folder / "network.onnx", half=half)
    session = onnxruntime.InferenceSession(
        str(folder / "network.onnx"), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"data": data.astype(np.float32)})))


def drawn(symbol: Symbol, shape: tuple[int, ...]) -> dict[str, Array]:
    """Return arguments and states of a symbol, ``data`` among them, in numbers that suit it."""
    arguments, _, states = symbol.infer_shape(data=shape)
    assert arguments is not None
    assert states is not None
    names = [*symbol.list_arguments(), *symbol.list_auxiliary_states()]
    random = np.random.default_rng(7)
    found = {}
    for name, extents in zip(names, (*arguments, *states)):
        # Variances, and what is divided by, stay clear of zero.
        array = random.uniform(0.5, 1.5, extents)
        if not name.endswith(("gamma", "var")):
            array *= random.choice([-1, 1], extents)
        found[name] = array.astype(np.float32)
    return found
