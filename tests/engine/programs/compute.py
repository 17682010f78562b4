"""The outputs of symbols, in inference and single precision, from whichever package is mxnet.

    python compute.py CASES.npz FOUND.npz

CASES.npz has arrays by the name of a case and of an argument or state, "case|argument", and the
text of each symbol as "case|". FOUND.npz gets the first output of each by its name.
"""

import sys

import mxnet as mx
import numpy as np


def compute(symbol, arrays):
    """Return the first output of a symbol for arrays by name."""
    states = symbol.list_auxiliary_states()
    given = {name: mx.nd.array(array, dtype="float32") for name, array in arrays.items()}
    parameters = {name: given[name] for name in given if name not in ("data", *states)}
    module = mx.mod.Module(symbol, context=mx.cpu(), label_names=None)
    module.bind(data_shapes=[("data", given["data"].shape)], for_training=False)
    module.set_params(parameters, {name: given[name] for name in states})
    module.forward(mx.io.DataBatch([given["data"]]), is_train=False)
    return module.get_outputs()[0].asnumpy()


found = {}
with np.load(sys.argv[1]) as cases:
    for case in [key[:-1] for key in cases.files if key.endswith("|")]:
        arrays = {
            key.split("|")[1]: cases[key]
            for key in cases.files
            if key.startswith(case + "|") and not key.endswith("|")
        }
        found[case] = compute(mx.sym.load_json(str(cases[case + "|"])), arrays)
np.savez(sys.argv[2], **found)
