"""How expectations are judged; `tests/upstream/test_verify.py` runs the real code."""

from __future__ import annotations

from typing import Any

import pytest

from mfn_patcher.recipes import loading
from mfn_patcher.training.verify import check_loss

STAGE = loading.load().stages[1]
RATE, DECAY = 0.1, 4e-5


def checked(parameters: dict[str, tuple[float, float]]) -> dict[str, bool]:
    """Return which checks pass where the optimizer has these rates and decays."""
    expect = loading.load().expect
    assert expect is not None
    passed: dict[str, Any] = {
        "arguments": list(parameters),
        "optimizer": {"lr": RATE, "wd": DECAY},
        "parameters": parameters,
    }
    return {check.name: check.ok for check in check_loss(expect, ("y1", STAGE), passed)}


RIGHT = {
    "conv_1_conv2d_weight": (RATE, DECAY),
    "fc1_weight": (RATE, 10 * DECAY),
    "fc7_weight": (RATE, 10 * DECAY),
}


def test_what_the_recipe_asks_for() -> None:
    assert checked(RIGHT) == {"arguments": True, "multipliers": True}
    assert not checked({**RIGHT, "fc7_bias": (RATE, DECAY)})["arguments"]


@pytest.mark.parametrize("name", ["fc1_weight", "fc7_weight"])
def test_a_multiplied_parameter(name: str) -> None:
    without = {key: value for key, value in RIGHT.items() if key != name}
    assert not checked(without)["multipliers"], "the symbol lacks it"
    assert not checked({**RIGHT, name: (RATE, DECAY)})["multipliers"], "its decay is not multiplied"
    assert not checked({**RIGHT, name: (2 * RATE, 10 * DECAY)})["multipliers"], "another rate"


def test_another_parameter_with_the_multiplied_decay() -> None:
    wrong = {**RIGHT, "conv_1_conv2d_weight": (RATE, 10 * DECAY)}
    assert not checked(wrong)["multipliers"]
