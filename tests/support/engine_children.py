"""Programs as children, on MXNet itself or on the engine: a process can have but one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "mfn_patcher" / "engine" / "pytorch"
PROGRAMS, DATA = ROOT / "tests/engine/programs", ROOT / "tests/engine/data"
# Those that answer in JSON and need nothing but the package.
ANSWERING = ("arrays", "compositions", "files", "fit", "sgd")


def run(
    program: str | Path,
    *arguments: str | Path,
    engine: bool,
    given: object = None,
    folder: Path | None = None,
) -> str:
    """Run a program, one of these or another's path, with what is given as JSON.

    Returns:
        What it prints.

    Raises:
        AssertionError: It fails; with all that it says of it.
    """
    path = program if isinstance(program, Path) else PROGRAMS / f"{program}.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    if engine:
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (ENGINE, ROOT)))
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


def answer(
    program: str | Path,
    *arguments: str,
    engine: bool,
    given: object = None,
    folder: Path | None = None,
) -> Any:
    """Return what a program prints as JSON in its last line; arguments are those of `run`."""
    printed = run(program, *arguments, engine=engine, given=given, folder=folder)
    return json.loads(printed.splitlines()[-1])


def recorded(name: str) -> Any:
    """Return what MXNet answered when it was recorded."""
    return json.loads((DATA / f"{name}.json").read_text())
