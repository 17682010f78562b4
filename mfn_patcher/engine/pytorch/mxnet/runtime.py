"""Features of this build."""

from __future__ import annotations

from .base import out_of_scope

__getattr__ = out_of_scope("mxnet.runtime")


class Features:
    """The features of the build."""

    def is_enabled(self, feature: str) -> bool:
        """Return whether a feature is enabled; ``CUDA`` is the only known one."""
        import torch

        return feature == "CUDA" and bool(torch.version.cuda)
