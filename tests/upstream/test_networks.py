"""The patches for Python 3 change no network of the script: all are those of 2018."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.repositories import ROOT
from tests.support.upstream import ask

pytestmark = pytest.mark.mxnet


def test_every_network(patched: Path, training_environment: dict[str, str]) -> None:
    figures = json.loads((ROOT / "tests" / "recorded" / "networks.json").read_text())["networks"]
    assert ask("networks.py", patched / "src", training_environment, *figures) == figures
