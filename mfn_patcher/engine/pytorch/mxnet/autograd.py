"""Imported by one of upstream's networks, which does not use it."""

from __future__ import annotations

from .base import out_of_scope

__getattr__ = out_of_scope("mxnet.autograd")
