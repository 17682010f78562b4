"""Running programs on MXNet itself or on the engine, which cannot be imported in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfn_patcher.engine.environment import PACKAGE
from tests.support.repositories import ROOT

PROGRAMS, DATA = ROOT / "tests/engine/programs", ROOT / "tests/engine/data"
# The programs that print JSON and need nothing but the package mxnet.
ANSWERING = ("arrays", "compositions", "files", "fit", "sgd")


def run(
    program: str | Path,
    *arguments: str | Path,
    engine: bool,
    given: object = None,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run a program, named by its module or its path, with a value as JSON on standard input.

    Args:
        program: the program.
        *arguments: its arguments.
        engine: whether it runs on the engine, not on MXNet.
        given: the value.
        folder: its working directory.
        variables: further environment variables.

    Returns:
        The standard output.

    Raises:
        AssertionError: The program failed; the message contains its standard error.
    """
    path = program if isinstance(program, Path) else PROGRAMS / f"{program}.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    folders = (PACKAGE, ROOT) if engine else (ROOT,)
    environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    environment |= variables or {}
    ran = subprocess.run(
        [sys.executable, str(path), *map(str, arguments)],
        cwd=folder,
        env=environment,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{program} ended with {ran.returncode}:\n{ran.stderr}"
    return ran.stdout


def answer(program: str | Path, *arguments: str, **options: Any) -> Any:
    """Return the JSON value in a program's last line of output; arguments are those of `run`."""
    return json.loads(run(program, *arguments, **options).splitlines()[-1])


def recorded(name: str) -> Any:
    """Return the recorded output of a program on MXNet."""
    return json.loads((DATA / f"{name}.json").read_text())
