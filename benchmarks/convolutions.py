"""The convolutions of y1, one by one: as convolutions and, where they are pointwise, as products.

    python benchmarks/convolutions.py [--device cpu|cuda] [--batch N] [--workspace DIR]

This decides how `kernels.conv2d` of the engine computes them. WORKSPACE is a patched one; without
it one is made, which needs upstream. Images and kernels are channels-last, as in the engine. On a
GPU this takes half a minute.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from turns import make_workspace, print_table

from mfn_patcher.engine.environment import PACKAGE

TURNS = 5
IDENTITIES, SIDE = 1000, 112
PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Layer:
    """A convolution.

    Attributes:
        data: shape of the images.
        weight: shape of the kernels.
        stride: step of the kernels.
        pad: rows and columns of zeros around the images.
        groups: groups of channels.
    """

    data: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int
    pad: int
    groups: int

    @property
    def kind(self) -> str:
        """What it is called."""
        if self.groups > 1:
            return "depthwise"
        return "pointwise" if self.weight[2:] == (1, 1) else "first layer"


def find_layers(source: Path, batch: int) -> Iterator[Layer]:
    """Yield the convolutions of y1, from the symbol that the patched script makes."""
    sys.path[:0] = [str(source), str(PACKAGE)]
    sys.argv = ["train_softmax.py", "--network", "y1", "--emb-size", "128", "--loss-type", "4"]
    train_softmax = importlib.import_module("train_softmax")
    given = train_softmax.parse_args()
    given.image_channel, given.image_h, given.image_w = 3, SIDE, SIDE
    given.num_classes, given.num_layers = IDENTITIES, 1
    symbol, _, _ = train_softmax.get_symbol(given, None, None)
    known = {"data": (batch, 3, SIDE, SIDE)}
    arguments, _, _ = symbol.infer_shape(**known)
    shapes = {name: [shape] for name, shape in zip(symbol.list_arguments(), arguments)}
    for node, outputs in symbol.infer_node_shapes(**known):
        shapes[node.name] = outputs
        if node.operator is not None and node.operator.name == "Convolution":
            values = node.values
            data, weight = (shapes[each.name][output] for each, output in node.inputs[:2])
            stride, pad = ((*values[name], fill)[0] for name, fill in (("stride", 1), ("pad", 0)))
            yield Layer(tuple(data), tuple(weight), stride, pad, values["num_group"])


def milliseconds(call: Callable[[], object], device: str) -> float:
    """Return the mean duration of a call, after one to warm up."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    call()
    wait()
    began = time.perf_counter()
    for _ in range(TURNS):
        call()
    wait()
    return 1000 * (time.perf_counter() - began) / TURNS


def time_layer(layer: Layer, kind: torch.dtype, device: str) -> tuple[float, float]:
    """Return the milliseconds of forward and both gradients, as convolution and as product."""
    make = partial(torch.randn, device=device, dtype=kind)
    data, weight = (
        make(shape).contiguous(memory_format=torch.channels_last)
        for shape in (layer.data, layer.weight)
    )
    convolve = partial(
        functional.conv2d, data, weight, None, layer.stride, layer.pad, 1, layer.groups
    )
    gradient: Tensor = torch.randn_like(convolve())
    settings = ([layer.stride] * 2, [layer.pad] * 2, [1, 1], False, [0, 0], layer.groups)

    def differentiate(mask: list[bool]) -> object:
        return torch.ops.aten.convolution_backward(gradient, data, weight, None, *settings, mask)

    calls = [convolve, partial(differentiate, [False, True, False])]
    if layer.kind != "first layer":  # the images have no gradient
        calls.append(partial(differentiate, [True, False, False]))
    as_convolution = sum(milliseconds(call, device) for call in calls)
    if layer.kind != "pointwise":
        return as_convolution, as_convolution
    rows, above = (each.permute(0, 2, 3, 1).reshape(-1, each.shape[1]) for each in (data, gradient))
    matrix = weight.flatten(1)
    products = (lambda: rows @ matrix.t(), lambda: above.t() @ rows, lambda: above @ matrix)
    return as_convolution, sum(milliseconds(call, device) for call in products)


def compare(layers: dict[Layer, int], device: str, batch: int) -> None:
    """Time all layers in all precisions, and print a table."""
    totals: dict[str, list[str]] = {}
    for precision, kind in PRECISIONS.items():
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.deterministic = True
        sums: dict[str, float] = collections.defaultdict(float)
        for layer, count in layers.items():
            convolution, product = time_layer(layer, kind, device)
            sums[f"{layer.kind}, as convolutions"] += count * convolution
            if layer.kind == "pointwise":
                sums[f"{layer.kind}, as matrix products"] += count * product
        for title, value in sums.items():
            totals.setdefault(title, []).append(f"{value:,.1f}")
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print_table(
        f"Milliseconds for all convolutions of y1, forward and gradients, batch of {batch}, {name}",
        ("", *PRECISIONS),
        [(title, *values) for title, values in sorted(totals.items())],
    )


def main() -> None:
    """Prepare what was not given, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int)
    parser.add_argument("--workspace", type=Path)
    given = parser.parse_args()
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    batch = given.batch or (512 if device == "cuda" else 2)
    with tempfile.TemporaryDirectory() as name:
        workspace = given.workspace or make_workspace(Path(name))
        layers = collections.Counter(find_layers(workspace.resolve() / "src", batch))
        compare(layers, device, batch)


if __name__ == "__main__":
    main()
