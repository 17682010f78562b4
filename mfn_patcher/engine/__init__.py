"""What computes a training: MXNet itself, or the package of the same name on PyTorch."""

MXNET, TORCH = "mxnet", "torch"
AUTO = "auto"
"""MXNet where it can compute, else PyTorch."""

CHOICES = (AUTO, MXNET, TORCH)
