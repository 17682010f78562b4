"""The training script on a CPU that plays GPUs, and the parameters that it ends with.

A program for the src folder:

    python worker.py OUTPUT WITHOUT_STATISTICS ARGUMENTS

Saves to OUTPUT what the module's parameters and moving means are at the end. WITHOUT_STATISTICS
is 1 to have batch norms use their moving means, not the statistics of a batch, and 0 for neither.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import mxnet as mx

mx.gpu = mx.cpu
sys.path.insert(0, ".")
output, without_statistics = sys.argv[1], sys.argv[2] == "1"
del sys.argv[1:3]
if without_statistics:
    mx.sym.BatchNorm = mx.symbol.BatchNorm = functools.partial(
        mx.sym.BatchNorm, use_global_stats=True
    )
import train_softmax
from mfn_trainer.hooks import Hooks

modules: list[Any] = []
make = Hooks.Module


def module(hooks: Hooks, **options: Any) -> Any:
    """Make the module, and keep it."""
    modules.append(make(hooks, **options))
    return modules[0]


Hooks.Module = module
try:
    train_softmax.main()
except SystemExit as end:
    if end.code:
        raise
arg, aux = modules[0].get_params()
named = {"arg:" + name: array for name, array in arg.items()}
named.update({"aux:" + name: array for name, array in aux.items()})
mx.nd.save(output, named)
