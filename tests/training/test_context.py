"""What runs of a chain of stages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.children.interpreter import InterpreterError
from mfn_patcher.runs.code import Code
from mfn_patcher.training.context import RunContext
from tests.support.plans import plans


def test_an_interpreter_that_cannot_train_is_asked_once(tmp_path: Path) -> None:
    """Each question takes seconds, and a chain has several stages."""
    python, asked = tmp_path / "python", tmp_path / "asked"
    python.write_text(f"#!/bin/sh\necho >> '{asked}'\nexit 1\n")
    python.chmod(0o755)
    context = RunContext(tmp_path, str(python), {}, Code())
    for plan in plans(visible_devices=""):
        with pytest.raises(InterpreterError):
            context.engine(plan)
    assert len(asked.read_text()) == 1
