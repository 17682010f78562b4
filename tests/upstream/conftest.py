"""The real upstream, fetched and patched once for all tests that only read it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from mfn_patcher.patches import load_series
from mfn_patcher.workspace import Workspace
from tests.conftest import ADDRESS
from tests.preimages import ROOT

HAS_MXNET = importlib.util.find_spec("mxnet") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    without_mxnet = pytest.mark.skipif(not HAS_MXNET, reason="MXNet is not installed here")
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.upstream)
        if item.get_closest_marker("mxnet"):
            item.add_marker(without_mxnet)


@pytest.fixture(scope="session")
def _patched_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    series = load_series(ROOT)
    workspace = Workspace(tmp_path_factory.mktemp("upstream") / "insightface")
    workspace.apply(series, series.patches, ADDRESS)
    return workspace.path


@pytest.fixture
def patched(upstream_address: str, request: pytest.FixtureRequest) -> Path:
    """The real upstream with every patch applied; tests must not change it."""
    assert upstream_address
    path: Path = request.getfixturevalue("_patched_once")
    return path


@pytest.fixture
def workspace(patched: Path, tmp_path: Path) -> Path:
    """A patched upstream of the test's own."""
    copy = tmp_path / "insightface"
    shutil.copytree(patched, copy, symlinks=True)
    return copy


@pytest.fixture
def training_environment() -> dict[str, str]:
    return {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
