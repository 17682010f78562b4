from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mfn_patcher.data.synth import synthesise


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic data set that no test may change: 4 identities with 5 images each."""
    directory = tmp_path_factory.mktemp("pristine") / "data"
    synthesise(directory, identities=4, images_per_identity=5)
    return directory


@pytest.fixture
def faces(pristine: Path, tmp_path: Path) -> Path:
    """A copy of the data set, which a test may damage."""
    return Path(shutil.copytree(pristine, tmp_path / "faces"))
