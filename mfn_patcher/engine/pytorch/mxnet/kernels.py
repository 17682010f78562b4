"""Functions that generated programs call besides PyTorch's own; their formulas are MXNet's.

Programs can call every public function of this module by its name.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def conv2d(
    data: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    pad: tuple[int, int],
    dilate: tuple[int, int],
    groups: int,
) -> Tensor:
    """Convolve images (N, C, H, W), as `torch.nn.functional.conv2d` does."""
    pointwise = groups == 1 and tuple(weight.shape[2:]) == stride == (1, 1) and pad == (0, 0)
    if pointwise and data.device.type == "cuda":
        # In single precision, cuBLAS multiplies 2.8 times as fast as cuDNN convolves (y1, batch of
        # 512, H200). Arrays are stored channels-last, so nothing is copied.
        pixels = data.permute(0, 2, 3, 1)
        return torch.nn.functional.linear(pixels, weight.flatten(1), bias).permute(0, 3, 1, 2)
    return torch.nn.functional.conv2d(data, weight, bias, stride, pad, dilate, groups)


def linear(data: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return data (N, in) times the transposed weight (out, in), plus the bias (out,)."""
    return torch.nn.functional.linear(data, weight, bias)


def exact_linear(data: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `linear` in single precision where PyTorch may use TF32 otherwise."""
    product: Tensor = _exact_product(data, weight.t())
    return product if bias is None else product + bias


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        return left @ right
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


def _describe_product(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(left.shape[0], right.shape[1])


def _keep_factors(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate_product(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    left, right = ctx.saved_tensors
    return _exact_product(gradient, right.t()), _exact_product(left.t(), gradient)


# An operator of its own, because a compiled function does not change PyTorch's settings.
_exact_product = torch.library.custom_op(
    "mfn_engine::exact_product",
    _multiply,
    mutates_args=(),
    schema="(Tensor left, Tensor right) -> Tensor",
)
_exact_product.register_fake(_describe_product)
_exact_product.register_autograd(_differentiate_product, setup_context=_keep_factors)


def batch_norm(
    data: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Normalise over all axes but the second by the batch's own statistics.

    Args:
        data: (N, C, ...).
        gamma: (C,).
        beta: (C,).
        epsilon: added to the variance.

    Returns:
        The data, and the statistics: the mean, and one over the standard deviation, both (C,).
    """
    out, mean, deviation = torch.native_batch_norm(
        data, gamma, beta, None, None, True, 0.0, epsilon
    )
    return out, (mean.detach(), deviation.detach())


class _L2Normalize(torch.autograd.Function):
    """Division by the norm, whose backward pass reads two arrays; PyTorch's own makes several."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, epsilon: float) -> Tensor:
        axes = tuple(range(1, data.dim()))
        norm = torch.sqrt(data.square().sum(axes, keepdim=True) + epsilon)
        normalized = data / norm
        ctx.save_for_backward(normalized, norm)
        return normalized

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        normalized, norm = ctx.saved_tensors
        axes = tuple(range(1, gradient.dim()))
        along = (gradient * normalized).sum(axes, keepdim=True)
        return torch.addcmul(gradient, normalized, along, value=-1).div_(norm), None


def l2_normalize(data: Tensor, epsilon: float) -> Tensor:
    """Divide each row by its norm, sqrt(sum of squares + epsilon)."""
    computed: Tensor = _L2Normalize.apply(data, epsilon)
    return computed


def one_hot(indices: Tensor, depth: int, on: float, off: float) -> Tensor:
    """Return an array of shape (*indices.shape, depth): ``on`` at each index, ``off`` elsewhere.

    Indices are truncated to integers; an index outside the range has no ``on``.
    """
    places = torch.arange(depth, device=indices.device)
    hit = indices.detach().long().unsqueeze(-1) == places
    return torch.where(
        hit,
        torch.tensor(on, dtype=indices.dtype, device=indices.device),
        torch.tensor(off, dtype=indices.dtype, device=indices.device),
    )


def pick(data: Tensor, index: Tensor, axis: int) -> Tensor:
    """Return one number of each row along an axis; indices outside the range are clipped."""
    places = index.detach().long().clamp(0, data.shape[axis] - 1)
    return data.gather(axis, places.unsqueeze(axis)).squeeze(axis)


def slice_axis(data: Tensor, axis: int, begin: int, end: int | None) -> Tensor:
    """Return a range of one axis; negative ends count from the end."""
    bounds = range(data.shape[axis])[begin:end]
    return data.narrow(axis, bounds.start, len(bounds))


class _Prelu(torch.autograd.Function):
    """PReLU for the CPU, on which PyTorch's own backward pass is not vectorized."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(data, slopes)
        return torch.nn.functional.prelu(data, slopes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        data, slopes = ctx.saved_tensors
        positive = torch.ops.aten.threshold_backward(gradient, data, 0)
        negative = gradient - positive
        by_channel = slopes.reshape(1, -1, *[1] * (data.dim() - 2))
        # One of the two terms is always 0, so this adds no rounding.
        of_data = torch.addcmul(positive, negative, by_channel)
        axes = [0, *range(2, data.dim())] if len(slopes) > 1 else list(range(data.dim()))
        return of_data, negative.mul_(data).sum(axes).reshape(slopes.shape)


def prelu(data: Tensor, slopes: Tensor) -> Tensor:
    """Multiply the numbers that are not positive by the slope of their channel.

    Args:
        data: (N, C, ...).
        slopes: (C,), or (1,) for all channels.
    """
    slopes = slopes.to(data.dtype)
    if data.device.type != "cpu":
        return torch.nn.functional.prelu(data, slopes)
    computed: Tensor = _Prelu.apply(data, slopes)
    return computed


class _SoftmaxOutput(torch.autograd.Function):
    """Softmax with the gradient of the cross-entropy, which ignores the gradient of its output."""

    @staticmethod
    def forward(
        ctx: Any,
        data: Tensor,
        label: Tensor,
        scale: float,
        normalization: str,
        ignored: tuple[bool, float],
    ) -> Tensor:
        probabilities = torch.softmax(data, 1)
        ctx.save_for_backward(probabilities, label)
        ctx.settings = scale, normalization, ignored
        return probabilities

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        probabilities, label = ctx.saved_tensors
        scale, normalization, (use_ignore, ignore_label) = ctx.settings
        classes = probabilities.shape[1]
        places = label.long()
        known = (places >= 0) & (places < classes)
        rows = places.clamp(0, classes - 1).unsqueeze(1)
        gradient = probabilities.scatter_add(1, rows, -known.to(probabilities.dtype).unsqueeze(1))
        if use_ignore:
            gradient.masked_fill_((label == ignore_label).unsqueeze(1), 0.0)
        if normalization == "valid":
            # MXNet does not count labels equal to ignore_label, even if they are not ignored.
            gradient *= scale / (label != ignore_label).sum().clamp(min=1)
        else:
            gradient *= scale / (len(label) if normalization == "batch" else 1)
        return gradient, None, None, None, None


def softmax_output(
    data: Tensor,
    label: Tensor,
    scale: float,
    normalization: str,
    use_ignore: bool,
    ignore_label: float,
) -> Tensor:
    """Return the softmax of each row, with the gradient of the cross-entropy with the labels.

    Args:
        data: (N, classes).
        label: (N,), integers; a label outside the classes does not contribute to the gradient.
        scale: factor of the gradient.
        normalization: divisor of the gradient: ``null`` for 1, ``batch`` for N, ``valid`` for the
            number of labels other than ``ignore_label``.
        use_ignore: whether rows with the label ``ignore_label`` have no gradient.
        ignore_label: label to ignore.
    """
    ignored = (use_ignore, ignore_label)
    probabilities: Tensor = _SoftmaxOutput.apply(
        data, label.detach(), scale, normalization, ignored
    )
    return probabilities
