"""One training step of each network in double precision, on MXNet and on PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.engine_children import run

pytestmark = [pytest.mark.mxnet, pytest.mark.torch]

# The losses take turns, because all networks end alike; images are as small as the network allows.
STEPS = [
    ("y1", 4, 112, 4),
    ("r50", 0, 48, 4),
    ("m1", 2, 64, 4),
    ("m2", 5, 48, 4),
    ("d121", 4, 48, 4),
    ("s20", 5, 48, 4),
]
SLOW_STEPS = [("p92", 5, 48, 2), ("i2", 0, 75, 2), ("n1", 4, 112, 2), ("x1", 2, 48, 2)]
TOLERANCE = 1e-9
# MXNet stores the momentum of moving averages in single precision.
MOVING = 1e-6
# Numbers that are zero except for rounding, such as the gradient of a bias before a batch norm, are
# compared with this share of the largest number of their kind.
FLOOR = 1e-4


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "step",
    [*STEPS, *(pytest.param(step, marks=pytest.mark.slow) for step in SLOW_STEPS)],
    ids=lambda step: step[0],
)
def test_step(patched: Path, tmp_path: Path, step: tuple[str, int, int, int]) -> None:
    network, loss, size, batch = step
    command = f"--network {network} --loss-type {loss}"
    for engine in (False, True):
        numbers = (str(size), str(batch), tmp_path / "start.npz", tmp_path / f"{engine}.npz")
        run("step", command, *numbers, engine=engine, folder=patched / "src")
    with np.load(tmp_path / "False.npz") as mxnet, np.load(tmp_path / "True.npz") as torch:
        assert set(mxnet.files) == set(torch.files)
        largest: dict[str, float] = {}
        for name in mxnet.files:
            kind = name.split()[0]
            largest[kind] = max(largest.get(kind, 0.0), abs(mxnet[name]).max())
        assert {"training", "gradient", "inference"} <= set(largest)
        far = {}
        for name in mxnet.files:
            kind, expected = name.split()[0], mxnet[name]
            tolerance = MOVING if kind in {"after", "inference"} else TOLERANCE
            scale = max(abs(expected).max(), FLOOR * largest[kind])
            distance = abs(torch[name] - expected).max() / scale
            if not distance <= tolerance:
                far[name] = distance
    assert not far
