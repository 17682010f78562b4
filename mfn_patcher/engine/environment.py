"""The environment variables that decide which engine a child process imports as ``mxnet``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mfn_patcher.children.environment import child_environment
from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.engine import MXNET, TORCH

PACKAGE = Path(__file__).parent / "pytorch"
"""The folder that contains our package ``mxnet``, which computes with PyTorch."""


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
    # PyTorch finds NVIDIA's libraries itself, and those for MXNet are of another CUDA version.
    folders = interpreter.libraries if name == MXNET else ()
    environment = child_environment(without_package(base), visible_devices, folders)
    if name == TORCH:
        others = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), *([others] if others else [])])
    return environment


def without_package(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which ``import mxnet`` finds MXNet itself, or nothing.

    A shell that evaluated the output of ``mfn-patch env`` may have our package on its path.
    """
    cleaned = dict(environment)
    path = cleaned.get("PYTHONPATH")
    if path is not None and str(PACKAGE) in (entries := path.split(os.pathsep)):
        del cleaned["PYTHONPATH"]
        if others := [entry for entry in entries if entry != str(PACKAGE)]:
            cleaned["PYTHONPATH"] = os.pathsep.join(others)
    return cleaned
