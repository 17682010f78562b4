"""Training follows the trajectory of 2018, on Python 2.7 and MXNet 1.1.0, on both engines."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.support.engines import ENGINES, engine_environment
from tests.support.upstream import ask

FIGURES = json.loads(
    (Path(__file__).parents[1] / "recorded" / "legacy_trajectory.json").read_text()
)


@pytest.mark.parametrize(("loss", "loss_type"), [("softmax", 0), ("arcface", 4)])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_trajectory_of_2018(patched: Path, engine: str, loss: str, loss_type: int) -> None:
    wanted = FIGURES["loss"][loss]
    arguments = (str(loss_type), str(len(wanted)))
    found = ask("trajectory.py", patched / "src", engine_environment(engine), *arguments)
    assert found["embedding"] == pytest.approx(FIGURES["embedding"][loss], rel=1e-4, abs=1e-4)
    assert len(found["loss"]) == len(wanted) == 8
    for step, (a, b, tolerance) in enumerate(
        zip(found["loss"], wanted, FIGURES["tolerance"][loss])
    ):
        assert math.isclose(a, b, rel_tol=tolerance), f"step {step}: {a} instead of {b}"
