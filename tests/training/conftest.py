"""A small data set for the tests of training, which only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.data.synth import synthesise


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synthesise(folder, identities=2, images_per_identity=4, sets=["lfw"])
    return folder
