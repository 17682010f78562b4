"""Symbols, files, arrays, SGD and Module.fit give exactly the recorded results of MXNet."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

import pytest

from mfn_patcher.engine.environment import PACKAGE
from tests.support.engine_children import ANSWERING, PROGRAMS, answer, recorded

# One child process runs all cases of a program.
asked = functools.cache(functools.partial(answer, engine=True))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("program", "case"), [(program, case) for program in ANSWERING for case in recorded(program)]
)
def test_answers_what_mxnet_does(program: str, case: str) -> None:
    assert asked(program)[case] == recorded(program)[case]


@pytest.mark.torch
@pytest.mark.parametrize("program", ANSWERING)
def test_answers_nothing_else(program: str) -> None:
    assert list(asked(program)) == list(recorded(program))


def test_composing_needs_no_pytorch() -> None:
    """Symbols can be inspected without PyTorch."""
    program = PROGRAMS / "compositions.py"
    without = f"""
import runpy, sys
sys.modules["torch"] = None
sys.path[:0] = [{str(PACKAGE)!r}]
runpy.run_path({str(program)!r}, run_name="__main__")
"""
    ran = subprocess.run([sys.executable, "-c", without], stdout=subprocess.PIPE, check=True)
    answered: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert answered == recorded("compositions")
