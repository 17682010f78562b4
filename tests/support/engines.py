"""Environments in which a child process imports one of the engines."""

from __future__ import annotations

import os

import pytest

from mfn_patcher.engine.environment import PACKAGE
from mfn_patcher.trainer import FOLDER

ENGINES = [
    pytest.param("mxnet", marks=pytest.mark.mxnet),
    pytest.param("torch", marks=pytest.mark.torch),
]
"""The parameters of a fixture whose tests run on both engines."""


def engine_environment(engine: str) -> dict[str, str]:
    """Return the environment in which `import mxnet` is an engine, on the CPU."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    path = [FOLDER] if engine == "mxnet" else [PACKAGE, FOLDER]
    environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
    return environment
