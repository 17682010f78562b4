"""Small upstreams with a project and a workspace, for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.repositories import StandIn
from tests.support.tool import Bench, Tool
from tests.support.toy import Toy, make_toy


@pytest.fixture
def toy(tool: Tool, tmp_path: Path) -> Toy:
    return make_toy(tool, tmp_path)


@pytest.fixture
def applied(toy: Toy) -> Toy:
    """The toy, with its series applied."""
    assert toy("apply").code == 0
    return toy


@pytest.fixture
def bench(tool: Tool, stand_in: StandIn, tmp_path: Path) -> Bench:
    """Commands on a workspace with the toy series applied."""
    bench = Bench(tool, stand_in, tmp_path / "workspace")
    bench.apply()
    return bench
