"""The symbols of every network and loss of the script, as text, on MXNet and on PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_children import answer, recorded

ENGINES = [
    pytest.param(False, id="mxnet", marks=pytest.mark.mxnet),
    pytest.param(True, id="torch", marks=pytest.mark.torch),
]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_symbol(patched: Path, engine: bool) -> None:
    """The recorded digests are MXNet's; what MXNet cannot build, the engine refuses by name."""
    expected: dict[str, dict[str, Any]] = recorded("symbols")
    described = answer("symbols", engine=engine, given=list(expected), folder=patched / "src")
    found = dict(zip(expected, described))
    if engine:
        for command, symbol in expected.items():
            if "LSoftmax" in symbol.get("error", ""):
                assert "LSoftmax" in found[command].pop("error")
                found[command] = symbol
    assert found == expected
