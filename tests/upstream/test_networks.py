"""The patches for Python 3 change no network of the script: all are those of 2018."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.engines import ENGINES, engine_environment
from tests.support.repositories import ROOT
from tests.support.upstream import ask


@pytest.mark.parametrize("engine", ENGINES)
def test_every_network(patched: Path, engine: str) -> None:
    """Their shapes and multipliers."""
    figures = json.loads((ROOT / "tests" / "recorded" / "networks.json").read_text())["networks"]
    environment = engine_environment(engine)
    assert ask("networks.py", patched / "src", environment, *figures) == figures
