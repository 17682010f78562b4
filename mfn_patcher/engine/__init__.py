"""The engines for the training script: MXNet itself, or our package ``mxnet`` on PyTorch."""

MXNET, TORCH = "mxnet", "torch"
AUTO = "auto"
"""MXNet where it can compute on the requested devices, otherwise PyTorch."""

CHOICES = (AUTO, MXNET, TORCH)

TITLES = {MXNET: "MXNet", TORCH: "PyTorch"}
"""The engines' names as they are shown to the user."""
