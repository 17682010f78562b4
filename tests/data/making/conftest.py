from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.photos import draw_people


@pytest.fixture(scope="session")
def _people_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people") / "faces", people=6, photos=6)


@pytest.fixture
def people(_people_once: Path, tmp_path: Path) -> Path:
    """A folder of 6 people with 6 photos each, which a test may change."""
    return Path(shutil.copytree(_people_once, tmp_path / "faces"))
