"""What training starts from; a program for the src folder: python start.py ARGUMENTS...

ARGUMENTS are those of train_softmax.py, the last of which is PREFIX,NUMBER of the checkpoint to
start from. Prints JSON: what Module.fit gets of it, whether that is equal to what the file has, and
which parameters it does not get, so that they start at random.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

sys.path.insert(0, ".")

import mxnet as mx
import train_softmax


class Reached(BaseException):
    """Leaves main() when the script calls Module.fit."""


def fit(module: Any, train_data: Any, **arguments: Any) -> None:
    prefix, number = sys.argv[-1].split(",")
    saved = mx.nd.load(f"{prefix}-{int(number):04}.params")
    given = {"arg:" + name: array for name, array in arguments["arg_params"].items()}
    given.update(("aux:" + name, array) for name, array in arguments["aux_params"].items())
    equal = all((given[name] == saved[name]).asnumpy().all() for name in given)
    wanted = module.symbol.list_arguments() + module.symbol.list_auxiliary_states()
    random = sorted(set(wanted) - {name[4:] for name in given} - {"data", "softmax_label"})
    sys.stdout.write("\n" + json.dumps({"equal": equal, "kept": len(given), "random": random}))
    raise Reached


mx.mod.Module.fit = fit
with contextlib.suppress(Reached):
    train_softmax.main()
