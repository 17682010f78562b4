"""PReLU as a single operator, which the patched networks compose from several."""

from __future__ import annotations

import json
from typing import Any

from mfn_patcher.engine.pytorch.mxnet import fusion, symbol_json


def with_prelu(symbol: Any) -> Any:
    """Return a symbol in which each PReLU is one operator, LeakyReLU, as in upstream's networks."""
    import mxnet as mx

    return mx.sym.load_json(fold(symbol.tojson()))


def fold(text: str) -> str:
    """Return the text of a symbol, changed as by `with_prelu`; unused nodes are still there."""
    document = json.loads(text)
    for position, inputs in fusion.find_prelus(symbol_json.loads(text)).items():
        document["nodes"][position].update(
            op="LeakyReLU", attrs={"act_type": "prelu"}, inputs=[[*entry, 0] for entry in inputs]
        )
    return json.dumps(document)
