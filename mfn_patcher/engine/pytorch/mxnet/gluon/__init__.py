"""The blocks that two of upstream's networks are composed of, for symbols only."""

from __future__ import annotations

from ..base import out_of_scope
from . import nn
from .block import HybridBlock

__all__ = ["HybridBlock", "nn"]
__getattr__ = out_of_scope("mxnet.gluon")
