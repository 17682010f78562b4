"""The part of MXNet's API that the training script uses, computed by PyTorch.

Whoever puts the folder above this one first on the Python path imports this package in MXNet's
place: `train_softmax.py` and the programs of mfn-patch run on it unchanged. It reads and writes
MXNet's files to the byte, composes symbols with the same names and the same JSON, and computes the
same formulas; what it does not offer raises an error that names it.

The symbol half (`symbol`, `operators`, `symbol_json`, `name`, `gluon`) needs no PyTorch, which is
imported by the modules that compute.
"""

from __future__ import annotations

import importlib
from typing import Any

from .attribute import AttrScope
from .base import MXNetError, OutOfScopeError
from .context import Context, cpu, current_context, gpu

__version__ = "1.9.1"
engine = "torch"
"""Tells this package from MXNet itself, which has no such attribute."""

__all__ = ["AttrScope", "Context", "MXNetError", "cpu", "current_context", "engine", "gpu"]

# MXNet's short names of its modules.
_ALIASES = {
    "init": "initializer",
    "kv": "kvstore",
    "mod": "module",
    "nd": "ndarray",
    "sym": "symbol",
}
_MODULES = (
    "autograd",
    "base",
    "callback",
    "context",
    "gluon",
    "image",
    "initializer",
    "io",
    "kvstore",
    "metric",
    "model",
    "module",
    "name",
    "ndarray",
    "optimizer",
    "random",
    "recordio",
    "runtime",
    "symbol",
)


def __getattr__(attribute: str) -> Any:
    """Import a module when it is first asked for, as ``import mxnet`` alone offers them all."""
    module = _ALIASES.get(attribute, attribute)
    if module in _MODULES:
        return importlib.import_module(f"{__name__}.{module}")
    raise OutOfScopeError(f"mxnet.{attribute}")
