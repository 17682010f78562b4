"""``mfn-patch env``: evaluating its output, and running the documented command after it."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher.engine.environment import PACKAGE
from mfn_patcher.trainer import FOLDER
from tests.support.tool import Tool

NAMES = ("CUDA_VISIBLE_DEVICES", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "PATH", "PYTHONPATH")
HAS = {
    name: importlib.util.find_spec(package) is not None
    for name, package in (("mxnet", "mxnet"), ("torch", "torch"))
}


def skip_without(name: str) -> None:
    if not HAS[name]:
        pytest.skip(f"{'MXNet' if name == 'mxnet' else 'PyTorch'} is not installed here")


def shell(script: str, **variables: str) -> str:
    """Return the output of a shell script after it has evaluated the output of `mfn-patch env`."""
    mfn_patch = f"{shlex.quote(sys.executable)} -m mfn_patcher"
    environment = {n: v for n, v in os.environ.items() if n not in NAMES or n == "PATH"}
    ran = subprocess.run(
        ["/bin/sh", "-euc", script.replace("mfn-patch", mfn_patch)],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("name", ["mxnet", "torch"])
def test_a_shell_computes_with_the_engine(name: str) -> None:
    skip_without(name)
    said = shell(
        f'eval "$(mfn-patch env --engine {name} --cpu)"\n'
        'python -c "import mxnet; print(mxnet.__file__)"\n'
        'echo "$CUDA_VISIBLE_DEVICES/$OMP_NUM_THREADS/$GOMP_SPINCOUNT"',
        PATH="/usr/bin:/bin",
    ).splitlines()
    assert Path(said[0]).is_relative_to(PACKAGE) == (name == "torch")
    devices, threads, spins = said[1].split("/")
    assert (devices, spins) == ("", "10000")
    assert int(threads) > 0


def test_the_other_engine_is_taken_off_again() -> None:
    skip_without("mxnet")
    said = shell(
        'eval "$(mfn-patch env --engine mxnet --cpu)"\necho "${PYTHONPATH-none}"',
        PYTHONPATH=str(PACKAGE),
    )
    assert said == f"{FOLDER}\n"


def test_values_are_quoted(tmp_path: Path) -> None:
    skip_without("torch")
    odd = tmp_path / "a $(touch hit) 'b'\n数据"
    odd.mkdir()
    said = shell(
        f"cd {shlex.quote(str(tmp_path))}\n"
        'eval "$(mfn-patch env --engine torch --cpu)"\n'
        'printf "%s" "$PYTHONPATH"',
        PYTHONPATH=str(odd),
    )
    assert said == f"{PACKAGE}:{FOLDER}:{odd}"
    assert list(tmp_path.iterdir()) == [odd]


def test_what_cannot_compute_prints_nothing(tool: Tool, tmp_path: Path) -> None:
    ran = tool("env", "--cpu", "--python", tmp_path / "none")
    assert (ran.code, ran.out) == (1, "")
    ran = tool("env", "--cpu", "--gpus", "0")
    assert (ran.code, ran.out) == (2, "")
    ran = tool("env", "--engine", "torch", "--gpus", "0,1")
    assert (ran.code, ran.out) == (1, "")
    assert "the run needs 2 (CUDA_VISIBLE_DEVICES=" in ran.err


@pytest.mark.upstream
@pytest.mark.parametrize("name", ["mxnet", "torch"])
def test_the_documented_line(name: str, upstream_address: str, tool: Tool, tmp_path: Path) -> None:
    skip_without(name)
    workspace, data = tmp_path / "work space", tmp_path / "data"
    assert tool("apply", "-w", workspace, "--upstream", upstream_address).code == 0
    assert tool("data", "synth", data, "--identities", "2", "--images-per-identity", "4").code == 0
    said = shell(
        f'eval "$(mfn-patch env --engine {name} --cpu)"\n'
        f"cd {shlex.quote(str(workspace / 'src'))}\n"
        "python -u train_softmax.py --network y1 --ckpt 2 --loss-type 0 --lr-steps 80000,120000 "
        "--wd 0.00004 --fc7-wd-mult 10 --per-batch-size 4 --emb-size 128 "
        f"--data-dir {shlex.quote(str(data))} --prefix ../models/model --target lfw "
        "--max-steps 1 --verbose 1 2>&1",
        # As many threads as cores would mostly wait for each other beside other tests.
        OMP_NUM_THREADS="1",
    )
    assert "[lfw][1]Accuracy-Flip: " in said
    assert (workspace / "models" / "model-0001.params").stat().st_size > 4_000_000
