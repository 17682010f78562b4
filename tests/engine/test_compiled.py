"""A compiled training step computes what PyTorch computes without compilation."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.engine.environment import keep_compiled
from tests.support import engine_children

pytestmark = pytest.mark.torch

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="g++ is not installed here, with which PyTorch compiles"
)


@dataclass(frozen=True)
class Compiling:
    """Starts of the program with compiled steps, in one workspace.

    Attributes:
        folder: a folder for the workspace, temporary files, and what the compiler was told.
    """

    folder: Path

    def start(self) -> Any:
        """Return what the program found; the first time takes half a minute."""
        compiler, temporary = self.folder / "compiler", self.folder / "temporary"
        temporary.mkdir(exist_ok=True)
        if not compiler.exists():
            compiler.write_text(f'#!/bin/sh\necho "$@" >> "{self.folder}/calls"\nexec g++ "$@"\n')
            compiler.chmod(0o755)
        variables = keep_compiled({"CXX": str(compiler), "TMPDIR": str(temporary)}, self.folder)
        found = engine_children.answer("compiled", "on", engine=True, variables=variables)
        assert not list(temporary.iterdir())
        return found

    def sources(self) -> int:
        """Return how many sources were compiled."""
        return (self.folder / "calls").read_text().count(".cpp ")


@pytest.fixture(scope="module")
def compiling(tmp_path_factory: pytest.TempPathFactory) -> Compiling:
    return Compiling(tmp_path_factory.mktemp("compiling"))


@pytest.fixture(scope="module")
def compiled(compiling: Compiling) -> Any:
    """Return what the first start found."""
    return compiling.start()


@functools.cache
def trained(*arguments: str) -> Any:
    """Return what the program found with arguments."""
    return engine_children.answer("compiled", *arguments, engine=True)


@needs_compiler
def test_compiles_once_and_computes_the_same(compiled: Any) -> None:
    """A new learning rate, verification and a checkpoint do not compile anything again."""
    plain = trained("off")
    assert compiled["losses"] == pytest.approx(plain["losses"], rel=0, abs=1e-5)
    assert compiled["verified"] == pytest.approx(plain["verified"], rel=0, abs=1e-4)
    assert compiled["compiled"] == [1, 1]
    assert compiled["same_memory"]
    assert plain["compiled"] == [0, 0]
    assert compiled["logged"] == []


@needs_compiler
def test_finds_what_an_earlier_start_compiled(compiling: Compiling, compiled: Any) -> None:
    """A resumed run continues to the bit, and without waiting for the compiler."""
    sources = compiling.sources()
    assert sources > 0
    assert compiling.start() == compiled
    assert compiling.sources() == sources


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
