"""The real upstream, for the tests that need it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from mfn_patcher.patching.project import read_upstream
from tests.support.repositories import ROOT

REQUIRED = os.environ.get("MFN_PATCH_REQUIRE_UPSTREAM") == "1"
ADDRESS = os.environ.get("MFN_PATCH_UPSTREAM") or read_upstream(ROOT).address

PROGRAMS = ROOT / "tests" / "upstream" / "programs"


def ask(program: str, source: Path, environment: dict[str, str], *arguments: str | Path) -> Any:
    """Run one of `PROGRAMS` in a folder of the script; return the JSON of its last line."""
    ran = subprocess.run(
        [sys.executable, PROGRAMS / program, *arguments],
        cwd=source,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout.splitlines()[-1])


def unproven(message: str) -> NoReturn:
    """Skip a test, or fail it where everything has to be proven."""
    if REQUIRED:
        pytest.fail(message)
    pytest.skip(message)
