"""The real upstream, fetched and patched once for all tests that only read it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mfn_patcher.cli import run as run_tool
from mfn_patcher.data.synth import synthesise
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.export import formats
from mfn_patcher.patching.applying import apply
from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.series import load_series
from mfn_patcher.patching.unified import ABSENT
from mfn_patcher.patching.upstream import fetch_blobs, fetch_history
from mfn_patcher.patching.workspace import Workspace
from tests.support.engines import engine_environment
from tests.support.repositories import ROOT
from tests.support.shipped import PATHS
from tests.support.trained import BATCH, INTERVAL, MODELS
from tests.support.upstream import ADDRESS, unproven


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.upstream)


@pytest.fixture(autouse=True)
def _engines_are_imported_once(engines_are_imported_once: None) -> None:
    """Save each test of this folder seconds."""


@pytest.fixture(scope="session")
def _history(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Upstream's default branch: all commits and trees, and the blobs of the patched files."""
    repository = Repository(tmp_path_factory.mktemp("history"))
    repository.init()
    try:
        (tip,) = fetch_history(repository, ADDRESS, ["upstream"])
        repository.run("update-ref", "refs/it", tip)
        how = ("--format=", "--raw", "--no-abbrev", "-z", "refs/it", "--")
        raw = repository.out("log", *how, *PATHS).split("\0")
        fields = [field for field in raw if field.startswith(":")]
        fetch_blobs(repository, {blob for it in fields for blob in it.split()[2:4]} - {ABSENT})
    except MfnPatchError:
        unproven(f"{ADDRESS} lacks other revisions than the pin; a whole clone or mirror has them")
    return repository


@pytest.fixture
def history(upstream_address: str, request: pytest.FixtureRequest) -> Repository:
    """Upstream with all revisions of the patched files."""
    assert upstream_address
    repository: Repository = request.getfixturevalue("_history")
    return repository


@pytest.fixture
def whole_upstream(upstream_address: str, history: Repository) -> str:
    """The address of an upstream that has other revisions than the pin."""
    assert history
    return upstream_address


@pytest.fixture(scope="session")
def _patched_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    series = load_series(ROOT)
    workspace = Workspace(tmp_path_factory.mktemp("upstream") / "insightface")
    apply(workspace, series, series.patches, ADDRESS)
    return workspace.path


@pytest.fixture
def patched(upstream_address: str, request: pytest.FixtureRequest) -> Path:
    """The real upstream with every patch applied; tests must not change it."""
    assert upstream_address
    path: Path = request.getfixturevalue("_patched_once")
    return path


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that is made once, however many processes run the tests."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def _trained_once(_patched_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def train(folder: Path) -> None:
        workspace = shutil.copytree(_patched_once, folder / "insightface", symlinks=True)
        data = folder / "data"
        synthesise(data, identities=4, images_per_identity=4, sets=["lfw", "agedb_30"])
        steps = ("--max-steps", str(2 * INTERVAL), "--checkpoint-every", str(INTERVAL))
        command = ("train", "--stage", "2", "--cpu", "--batch-size", str(BATCH), *steps)
        assert run_tool([*command, "-w", str(workspace), "--data-dir", str(data)]) == 0

    return once(tmp_path_factory, "tra ined", train) / "insightface"


@pytest.fixture
def trained(patched: Path, request: pytest.FixtureRequest) -> Path:
    """A workspace in which stage 2 has saved two checkpoints; tests must not change it."""
    assert patched
    path: Path = request.getfixturevalue("_trained_once")
    return path


@pytest.fixture(scope="session")
def _exported_once(_trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def export(folder: Path) -> None:
        checkpoint = f"{_trained_once}/models/MobileFaceNet/model-y1-softmax,1"
        command = ["export", checkpoint, "-w", str(_trained_once), "-o", str(folder), "--format"]
        images = ("--images", str(_trained_once.parent / "data" / "lfw.bin"))
        for name in MODELS:
            assert run_tool([*command, name, *(images if name == "onnx" else ())]) == 0
            if formats.by_name(name).half_limits is not None:
                assert run_tool([*command, name, "--fp16"]) == 0

    for form in formats.runnable():
        try:
            form.check_installed()
        except MfnPatchError as error:
            pytest.skip(str(error))
    return once(tmp_path_factory, "ex ported", export)


@pytest.fixture
def exported(trained: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with all exports of the first checkpoint; tests must not change it."""
    assert trained
    path: Path = request.getfixturevalue("_exported_once")
    return path


@pytest.fixture
def workspace(patched: Path, tmp_path: Path) -> Path:
    """A patched upstream of the test's own."""
    copy = tmp_path / "insightface"
    shutil.copytree(patched, copy, symlinks=True)
    return copy


@pytest.fixture
def training_environment() -> dict[str, str]:
    return engine_environment("mxnet")
