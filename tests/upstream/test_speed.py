"""What stack `speed` makes faster computes what it did before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher.dataset.synth import synthesise
from tests.preimages import git

pytestmark = pytest.mark.mxnet

PROGRAMS = Path(__file__).parent / "programs"


def before(patched: Path, patch: str, path: str) -> bytes:
    """Return a file as it is without a patch and those after it."""
    commit = git(patched, "log", "--format=%H", f"--grep=^Mfn-Patch: {patch}").decode().split()
    assert len(commit) == 1
    return git(patched, "show", f"{commit[0]}^:{path}")


def test_verification(patched: Path, tmp_path: Path, training_environment: dict[str, str]) -> None:
    old = tmp_path / "before.py"
    old.write_bytes(before(patched, "speed/0001", "src/eval/verification.py"))
    synthesise(tmp_path / "data", identities=2, images_per_identity=2)
    ran = subprocess.run(
        [sys.executable, PROGRAMS / "verification.py", old, tmp_path / "data" / "lfw.bin"],
        cwd=patched / "src",
        env=training_environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    outcomes = json.loads(ran.stdout.splitlines()[-1])
    assert outcomes.pop("images") == [[True, True], [True, True]]
    different = {name: both for name, both in outcomes.items() if both[0] != both[1]}
    assert different == {}
    raised = {name: both[0] for name, both in outcomes.items() if isinstance(both[0], str)}
    assert raised == {
        "0 folds": "IndexError",
        "601 folds": "ValueError",
        "same only": "ZeroDivisionError",
        "different only": "ZeroDivisionError",
        "one fold of same only": "ZeroDivisionError",
        "halves": "ZeroDivisionError",
    }
    assert len(outcomes) == 22
