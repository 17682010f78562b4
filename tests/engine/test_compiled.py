"""A compiled training step computes what PyTorch computes without compilation."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.support import engine_children

pytestmark = pytest.mark.torch


@functools.cache
def trained(*arguments: str) -> Any:
    """Return what the program found with arguments; ``on`` takes half a minute."""
    return engine_children.answer("compiled", *arguments, engine=True)


def test_compiles_once_and_computes_the_same() -> None:
    """A new learning rate, verification and a checkpoint do not compile anything again."""
    compiled, plain = trained("on"), trained("off")
    assert compiled["losses"] == pytest.approx(plain["losses"], rel=0, abs=1e-5)
    assert compiled["verified"] == pytest.approx(plain["verified"], rel=0, abs=1e-4)
    assert compiled["compiled"] == [1, 1]
    assert compiled["same_memory"]
    assert plain["compiled"] == [0, 0]
    assert compiled["logged"] == []


def test_trains_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be compiled is computed as it is, and the log says why."""
    monkeypatch.setenv("CXX", "/nonexistent/compiler")
    monkeypatch.setenv("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    found = engine_children.answer("compiled", "on", engine=True)
    assert found["losses"] == trained("off")["losses"]
    (line,) = found["logged"]
    assert line.startswith("the training step cannot be compiled, so it will be slower: ")


def test_half_precision_is_that_of_the_network_only() -> None:
    """Gradients and embedding are single precision, and training gets as far."""
    half, single = trained("off", "bf16"), trained("off")
    assert half["gradients"] == single["gradients"] == ["float32"]
    assert half["embedding"] == "float32"
    difference = [abs(a - b) for a, b in zip(half["losses"], single["losses"])]
    assert 1e-4 < max(difference) < 0.1
    assert sum(half["losses"][-10:]) == pytest.approx(sum(single["losses"][-10:]), abs=0.02)
