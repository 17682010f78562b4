"""A workspace with checkpoints, verification sets, and interpreters that answer as told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.data.synth import synthesise
from mfn_patcher.engine import choice
from mfn_patcher.engine.choice import Engine
from mfn_patcher.evaluation.plan import Plan
from tests.support.evaluation import ENGINE, plan


@pytest.fixture(scope="session")
def pristine_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synthesise(folder, identities=2, images_per_identity=2)
    return folder


@pytest.fixture
def data(pristine_sets: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    for path in pristine_sets.glob("*.bin"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work space"
    models = folder / "models"
    models.mkdir(parents=True)
    for name in ("m-0001.params", "m-0002.params", "m-symbol.json"):
        (models / name).touch()
    return folder


@pytest.fixture
def ready(workspace: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan, and the folder of the test as the current one, which is the child's too."""
    monkeypatch.chdir(tmp_path)
    facts = Interpreter(sys.executable, "3.11.0", {}, ())
    monkeypatch.setattr(choice, "choose", lambda *_: Engine(**ENGINE, interpreter=facts))
    return plan(workspace, data_dir=data, targets="lfw")
