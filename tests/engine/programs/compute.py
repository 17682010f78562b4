"""Compute the outputs of symbols in inference and single precision, on either package mxnet.

    python compute.py CASES.npz FOUND.npz

CASES.npz contains the arguments and states of each case as "case|argument", and the text of its
symbol as "case|". FOUND.npz receives the first output of each case by its name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt


def compute(symbol: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the first output of a symbol for arrays by name."""
    states = symbol.list_auxiliary_states()
    given = {name: mx.nd.array(array, dtype="float32") for name, array in arrays.items()}
    parameters = {name: given[name] for name in given if name not in ("data", *states)}
    module = mx.mod.Module(symbol, context=mx.cpu(), label_names=None)
    module.bind(data_shapes=[("data", given["data"].shape)], for_training=False)
    module.set_params(parameters, {name: given[name] for name in states})
    module.forward(mx.io.DataBatch([given["data"]]), is_train=False)
    output: npt.NDArray[Any] = module.get_outputs()[0].asnumpy()
    return output


found: dict[str, Any] = {}
with np.load(sys.argv[1]) as cases:
    for case in [key[:-1] for key in cases.files if key.endswith("|")]:
        arrays = {
            key.split("|")[1]: cases[key]
            for key in cases.files
            if key.startswith(case + "|") and not key.endswith("|")
        }
        found[case] = compute(mx.sym.load_json(str(cases[case + "|"])), arrays)
np.savez(sys.argv[2], **found)
