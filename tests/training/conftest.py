"""A small data set for the tests of training, which only read it, and a workspace."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.data.synth import synthesise
from mfn_patcher.engine import AUTO, MXNET
from mfn_patcher.engine.choice import Engine
from mfn_patcher.runs.code import Code
from mfn_patcher.training import context as run_context
from mfn_patcher.training.context import RunContext


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synthesise(folder, identities=2, images_per_identity=4, sets=["lfw"])
    return folder


@pytest.fixture
def context_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Code], RunContext]:
    """Makes a workspace with a small script in place of the training script, and any engine."""

    def make(script: str, code: Code) -> RunContext:
        workspace = tmp_path / "work space"
        (workspace / "src").mkdir(parents=True)
        (workspace / "src" / "train_softmax.py").write_text(script)
        interpreter = Interpreter(sys.executable, "3.11.0", {"mxnet": "1.9.1"}, ())

        def choose(wanted: str, *_: object) -> Engine:
            name = MXNET if wanted == AUTO else wanted
            return Engine(name, f"{name} 1.9.1", "it is installed", interpreter)

        monkeypatch.setattr(run_context, "choose", choose)
        return RunContext(workspace, sys.executable, dict(os.environ), code)

    return make
