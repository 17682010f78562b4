"""The part of MXNet's API that the training script uses, computed by PyTorch.

With the folder above this one first on the Python path, this package is imported instead of MXNet:
`train_softmax.py` and the programs of mfn-patch run on it unchanged. It reads and writes MXNet's
files to the byte, composes symbols with the same names and the same JSON, and computes the same
formulas. Everything that it does not offer raises an error that names it.

The modules of symbols (`symbol`, `operators`, `symbol_json`, `name`, `gluon`) do not import
PyTorch; only the modules that compute do.
"""

from __future__ import annotations

import importlib
from typing import Any

from .attribute import AttrScope
from .base import MXNetError, OutOfScopeError
from .context import Context, cpu, gpu

__version__ = "1.9.1"
engine = "torch"
"""Distinguishes this package from MXNet itself, which has no such attribute."""

__all__ = ["AttrScope", "Context", "MXNetError", "cpu", "engine", "gpu"]

# MXNet's short names for its modules.
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
    "settings",
    "symbol",
)


def __getattr__(attribute: str) -> Any:
    """Import a module on first use, because ``import mxnet`` alone makes all of them available."""
    module = _ALIASES.get(attribute, attribute)
    if module in _MODULES:
        return importlib.import_module(f"{__name__}.{module}")
    raise OutOfScopeError(f"mxnet.{attribute}")
