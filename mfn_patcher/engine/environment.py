"""The environment variables that decide which engine a child process imports as ``mxnet``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mfn_patcher import trainer
from mfn_patcher.children.environment import child_environment
from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.engine import MXNET, TORCH

PACKAGE = Path(__file__).parent / "pytorch"
"""The folder that contains our package ``mxnet``, which computes with PyTorch."""

_COMPILED = "TORCHINDUCTOR_CACHE_DIR"
# On the CPU, PyTorch also compiles headers, always in the temporary folder.
_NO_HEADERS = {"TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0"}


def engine_environment(
    name: str, interpreter: Interpreter, base: Mapping[str, str], visible_devices: str
) -> dict[str, str]:
    """Return the environment for a child process that computes with an engine.

    Args:
        name: ``mxnet`` or ``torch``.
        interpreter: the interpreter that the child runs on.
        base: the variables to start from.
        visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
    """
    # PyTorch finds NVIDIA's libraries itself, and those for MXNet are for another CUDA version.
    folders = interpreter.libraries if name == MXNET else ()
    environment = child_environment(without_packages(base), visible_devices, folders)
    others = environment.get("PYTHONPATH")
    path = [*map(str, packages(name)), *([others] if others else [])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    return environment


def keep_compiled(environment: Mapping[str, str], workspace: Path) -> dict[str, str]:
    """Return an environment in which PyTorch keeps what it compiles in a workspace.

    A resumed run then finds it there. PyTorch's own choice is a folder in ``/tmp`` whose name is
    known in advance, so another user of the machine could put code there.
    """
    return {_COMPILED: str(workspace / "runs" / ".compiled"), **_NO_HEADERS, **environment}


def packages(name: str) -> tuple[Path, ...]:
    """Return the folders that Python must search first for packages, with an engine."""
    return (PACKAGE, trainer.FOLDER) if name == TORCH else (trainer.FOLDER,)


def without_packages(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which ``import mxnet`` finds MXNet itself, or nothing.

    A shell that evaluated the output of ``mfn-patch env`` may have our packages on its path.
    """
    cleaned = dict(environment)
    path = cleaned.get("PYTHONPATH")
    ours = set(map(str, packages(TORCH)))
    if path is not None and ours.intersection(entries := path.split(os.pathsep)):
        del cleaned["PYTHONPATH"]
        if others := [entry for entry in entries if entry not in ours]:
            cleaned["PYTHONPATH"] = os.pathsep.join(others)
    return cleaned
