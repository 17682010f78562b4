"""Trainings on both engines, whose initial parameters differ for the same seed."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher.data.synth import synthesise
from tests.support.engines import engine_environment

pytestmark = [pytest.mark.mxnet, pytest.mark.torch]

SEEDS = range(1, 6)
# Student's t with 8 degrees of freedom: equal means exceed it once in a hundred times.
LARGEST_T = 3.36


def losses(source: Path, data: Path, engine: str, seed: int) -> list[float]:
    """Return the mean losses of steps 1 to 20, 21 to 40 and 41 to 60 in the log."""
    arguments = "--network y1 --emb-size 128 --loss-type 0 --per-batch-size 8 --ckpt 0 --target ''"
    arguments += f" --lr 0.05 --verbose 1000 --max-steps 60 --seed {seed}"
    command = [sys.executable, "-W", "ignore", "train_softmax.py", *arguments.split()]
    ran = subprocess.run(
        [*command, "--data-dir", str(data), "--prefix", str(data / engine / "model")],
        cwd=source,
        env=engine_environment(engine),
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(loss) for loss in re.findall(r"lossvalue=([\d.]+)$", ran.stderr, re.MULTILINE)][
        :3
    ]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_five_seeds_are_alike(patched: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    synthesise(data, identities=20, images_per_identity=30)
    found = {
        engine: [losses(patched / "src", data, engine, seed) for seed in SEEDS]
        for engine in ("mxnet", "torch")
    }
    print(found)
    for place, columns in enumerate(zip(*(zip(*found[engine]) for engine in found))):
        means = [statistics.mean(column) for column in columns]
        error = sum(statistics.variance(column) / len(SEEDS) for column in columns) ** 0.5
        assert abs(means[0] - means[1]) / error < LARGEST_T, (place, found)
    # The loss falls, so the comparison is meaningful; single runs are noisier.
    for runs in found.values():
        first, *_, last = (statistics.mean(column) for column in zip(*runs))
        assert last < first
