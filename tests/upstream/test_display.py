"""The display of a real training, on terminals of several sizes."""

from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from mfn_patcher.data.synth import synthesise
from tests.support.screen import Terminal


@pytest.fixture
def arguments(patched: Path, tmp_path: Path, training_environment: dict[str, str]) -> list[str]:
    assert training_environment
    workspace = shutil.copytree(patched, tmp_path / "insightface", symlinks=True)
    synthesise(tmp_path / "faces", identities=2, images_per_identity=4, sets=["lfw"])
    steps = ("--max-steps", "4", "--checkpoint-every", "3", "--batch-size", "2")
    options = ("-w", str(workspace), "--data-dir", str(tmp_path / "faces"), "--cpu", *steps)
    return [sys.executable, "-m", "mfn_patcher", "train", "--stage", "2", *options]


@pytest.mark.torch
@pytest.mark.long
def test_the_demo_on_a_terminal(upstream_address: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mfn_patcher", "demo", "-w", "w", "--engine", "torch"]
    options = ("--upstream", upstream_address)
    seen = set()
    with Terminal([*command, *options], 100, 80, folder=tmp_path) as terminal:
        while terminal.process.poll() is None:
            seen |= set(re.findall(r"loading the \w+|verifying$", terminal.text, re.MULTILINE))
            time.sleep(0.1)
        assert terminal.wait() == 0, terminal.text
        text = terminal.text
    assert {"loading the script", "verifying"} <= seen
    assert text.count("step 6 of 6 ") == 3
    # The data set has three steps per epoch, at whose end the script tells both.
    assert len(re.findall(r"^loss \d+\.\d{4}   accuracy \d\.\d{4} ", text, re.MULTILINE)) == 3
    assert text.count("checkpoint 2 saved") == 3
    assert "Success. Outputs:" in text
    assert not re.search(r"call reset|Warning|infer time|ending$", text, re.MULTILINE)


@pytest.mark.mxnet
def test_a_training_on_a_terminal_that_becomes_narrow(arguments: list[str]) -> None:
    seen: set[str] = set()
    shown = re.compile(r"starting Python|verifying|memory \d|^step \d|^lfw +\d", re.MULTILINE)
    with Terminal([*arguments, "--", "--target", "lfw"], 50, 50) as terminal:
        while terminal.process.poll() is None:
            text = terminal.text
            assert text.count("elapsed") <= 1, text
            if "memory" in text and terminal.screen.columns == 50:
                terminal.resize(20, 50)
            seen |= {match[0] for match in shown.finditer(text)}
            time.sleep(0.1)
        assert terminal.wait() == 0
        assert not terminal.cursor_is_hidden
        assert terminal.text.count("elapsed") == 1
        # Lines of the log are as long as they are.
        drawn = [line for line in terminal.wrapped if line.startswith(("step", "loss", "stage"))]
        assert drawn == []
    assert {found.partition(" ")[0] for found in seen} >= {"starting", "memory", "step", "lfw"}
