"""The patches for Python 3 change no network of the script: all are those of 2018."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repositories import ROOT

pytestmark = pytest.mark.mxnet

PROGRAMS = Path(__file__).parent / "programs"


def test_every_network(patched: Path, training_environment: dict[str, str]) -> None:
    figures = json.loads((ROOT / "tests" / "recorded" / "networks.json").read_text())["networks"]
    ran = subprocess.run(
        [sys.executable, str(PROGRAMS / "networks.py"), *figures],
        cwd=patched / "src",
        env=training_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout.splitlines()[-1]) == figures
