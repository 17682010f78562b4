"""The blocks of which two of upstream's networks are composed; on symbols alone."""

from __future__ import annotations

from ..base import out_of_scope
from . import nn
from .block import HybridBlock, Parameter

__all__ = ["HybridBlock", "Parameter", "nn"]
__getattr__ = out_of_scope("mxnet.gluon")
