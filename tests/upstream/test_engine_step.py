"""One training step of each network in double precision, on MXNet and on PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.engine_children import run

pytestmark = [pytest.mark.mxnet, pytest.mark.torch]

Step = tuple[str, int, int, int]
"""A network, the loss type, the side of the images and the size of the batch."""
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


def compute(source: Path, folder: Path, steps: list[Step]) -> None:
    """Compute steps on both engines, from the same numbers."""
    for engine in (False, True):
        given = [
            (
                f"--network {network} --loss-type {loss}",
                *(size, batch),
                str(folder / f"{network}-start.npz"),
                str(folder / f"{network}-{engine}.npz"),
            )
            for network, loss, size, batch in steps
        ]
        run("step", engine=engine, folder=source, given=given)


@pytest.fixture(scope="module")
def _computed_once(_patched_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps")
    compute(_patched_once / "src", folder, STEPS)
    return folder


@pytest.mark.timeout(900)
@pytest.mark.parametrize("network", [step[0] for step in STEPS])
def test_step(patched: Path, request: pytest.FixtureRequest, network: str) -> None:
    assert patched
    compare(request.getfixturevalue("_computed_once"), network)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", SLOW_STEPS, ids=lambda step: step[0])
def test_step_of_a_slow_network(patched: Path, tmp_path: Path, step: Step) -> None:
    compute(patched / "src", tmp_path, [step])
    compare(tmp_path, step[0])


def compare(folder: Path, network: str) -> None:
    """Check that both engines computed the same."""
    files = [folder / f"{network}-{engine}.npz" for engine in (False, True)]
    with np.load(files[0]) as mxnet, np.load(files[1]) as torch:
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
