"""What computes a training: MXNet itself, or the package of the same name on PyTorch."""
