"""What this build can do."""

from __future__ import annotations

from .base import out_of_scope

__getattr__ = out_of_scope("mxnet.runtime")


class Features:
    """The features of the build."""

    def is_enabled(self, feature: str) -> bool:
        """Return whether there is a feature; ``CUDA`` is the only one that is known."""
        import torch

        return feature == "CUDA" and bool(torch.version.cuda)
