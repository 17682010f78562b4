"""Which engine is chosen, and why, with stand-in interpreters for what is not installed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.children.interpreter import Interpreter, InterpreterError
from mfn_patcher.engine import AUTO, MXNET, TORCH
from mfn_patcher.engine.cards import MXNET_WHEELS, has_code
from mfn_patcher.engine.choice import Engine, choose
from mfn_patcher.engine.environment import PACKAGE, without_packages
from mfn_patcher.trainer import FOLDER

COMMON = {
    "numpy": "1.23.5",
    "scipy": "1.10",
    "scikit-learn": "1.2",
    "scikit-image": "0.20",
    "opencv-python": "4.5",
    "easydict": "1.10",
}
P40, H100 = ("P40", (6, 1)), ("H100", (9, 0))
Make = Callable[..., str]


def mxnet(gpus: int = 0, *, cuda: bool = False, **answer: Any) -> dict[str, Any]:
    return answer or {"version": "1.9.1", "cuda": cuda, "gpus": gpus}


def torch(
    *cards: tuple[str, tuple[int, int]], cuda: str | None = None, code: Sequence[str] = ()
) -> dict[str, Any]:
    gpus = [{"name": name, "capability": capability} for name, capability in cards]
    return {
        "version": "1.9.1",
        "cuda": bool(cards),
        "gpus": len(cards),
        "torch": {"cuda": cuda, "architectures": list(code), "gpus": gpus},
    }


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a stand-in interpreter that prints given answers."""

    def make_python(
        python: str = "3.11.4",
        builds: dict[str, str] | None = None,
        of_mxnet: dict[str, Any] | None = None,
        of_torch: dict[str, Any] | None = None,
        cards: Sequence[tuple[str, tuple[int, int]]] = (),
    ) -> str:
        builds = {"mxnet": "1.9.1", "torch": "2.13.0"} if builds is None else builds
        has_mxnet = any(name.startswith("mxnet") for name in builds)
        facts = {
            "python": python,
            "versions": {**COMMON, **builds},
            "libraries": ["/nvidia/lib"],
            "mxnet_library": "/m/libmxnet.so" if has_mxnet else None,
        }
        gpus = [{"name": n, "capability": c, "total": 1, "free": 1} for n, c in cards]
        driver = {"version": 12020, "gpus": gpus, "error": None} if cards else None
        answers = {
            "mxnet.json": {**facts, "mxnet": of_mxnet or mxnet()},
            "torch.json": {**facts, "mxnet": of_torch or torch()},
            "driver.json": {"libraries": {}, "driver": driver},
        }
        for name, answer in answers.items():
            (tmp_path / name).write_text(json.dumps(answer) + "\n")
        path = tmp_path / "python"
        path.write_text(
            "#!/bin/sh\n"
            f"cd '{tmp_path}'\n"
            'echo "$*" >> asked\n'
            'case "$2" in cuda) exec cat driver.json ;; esac\n'
            f'case "$PYTHONPATH" in {PACKAGE}*) exec cat torch.json ;; esac\n'
            "exec cat mxnet.json\n"
        )
        path.chmod(0o755)
        return str(path)

    return make_python


def chosen(python: str, devices: str = "", wanted: str = AUTO) -> Engine:
    return choose(wanted, python, os.environ, devices)


def refused(python: str, devices: str = "", wanted: str = AUTO) -> InterpreterError:
    with pytest.raises(InterpreterError) as caught:
        chosen(python, devices, wanted)
    return caught.value


# -- code for a GPU -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "runs"),
    [
        ((3, 7), False),
        ((5, 2), True),
        ((6, 1), True),
        ((7, 5), True),
        ((8, 0), True),
        ((8, 6), True),
        ((8, 9), True),
        ((9, 0), False),
        ((10, 0), False),
        ((12, 0), False),
    ],
)
def test_the_cards_of_mxnets_wheels(capability: tuple[int, int], runs: bool) -> None:
    assert len(MXNET_WHEELS) == 6
    for held in MXNET_WHEELS.values():
        assert has_code(held, capability) == runs


@pytest.mark.parametrize(
    ("architecture", "capability", "runs"),
    [
        ("sm_86", (8, 0), False),
        ("sm_75", (8, 0), False),
        ("sm_90a", (9, 0), True),
        ("sm_90a", (9, 1), False),
        ("sm_120", (12, 1), True),
        ("sm_120f", (12, 0), True),
        ("compute_70", (9, 0), True),
        ("compute_90", (8, 9), False),
        ("compute_90a", (10, 0), False),
        ("gfx90a", (9, 0), False),
    ],
)
def test_code_and_ptx(architecture: str, capability: tuple[int, int], runs: bool) -> None:
    assert has_code([architecture], capability) == runs


# -- the choice ---------------------------------------------------------------------------


def test_mxnet_where_both_can(make: Make, tmp_path: Path) -> None:
    engine = chosen(make())
    assert (engine.name, engine.build) == (MXNET, "mxnet 1.9.1")
    assert engine.reason == (
        "it is installed and computes on the CPU; PyTorch takes a quarter of the time: "
        "--engine torch"
    )
    assert len((tmp_path / "asked").read_text().splitlines()) == 2, "PyTorch was not imported"
    alone = chosen(make(builds={"mxnet": "1.9.1"}))
    assert alone.describe() == "MXNet (mxnet 1.9.1): it is installed and computes on the CPU"


def test_torch_where_mxnet_is_not_installed(make: Make) -> None:
    python = make("3.13.1", {"torch": "2.13.0"})
    engine = chosen(python)
    assert engine.as_json() == {
        "name": TORCH,
        "build": "torch 2.13.0",
        "reason": f"{python} is Python 3.13.1; MXNet requires Python 3.10 to 3.11",
    }
    engine = chosen(make(builds={"torch": "2.13.0"}))
    assert engine.reason == f"MXNet is not installed in {python}"


def test_torch_where_mxnet_is_broken(make: Make) -> None:
    broken = mxnet(error="AttributeError: module 'numpy' has no attribute 'bool'")
    engine = chosen(make(of_mxnet=broken))
    assert engine.name == TORCH
    assert engine.reason.endswith("cannot import MXNet: " + broken["error"])


@pytest.mark.parametrize(
    ("card", "name", "reason"),
    [
        (P40, MXNET, "it is installed and has code for compute capability 6.1"),
        (H100, TORCH, "mxnet-cu112 1.9.1 has no code for compute capability 9.0 (H100)"),
    ],
)
def test_by_the_card(make: Make, card: tuple[str, tuple[int, int]], name: str, reason: str) -> None:
    python = make(
        builds={"mxnet-cu112": "1.9.1", "torch": "2.13.0"},
        of_mxnet=mxnet(1, cuda=True),
        of_torch=torch(card, cuda="13.0", code=["sm_75", "sm_90"]),
        cards=[card],
    )
    engine = chosen(python, "0")
    assert (engine.name, engine.reason) == (name, reason)
    assert chosen(python).name == MXNET, "on the CPU any build can"


def test_torch_on_a_gpu_where_mxnet_is_for_the_cpu(make: Make) -> None:
    of_torch = torch(P40, cuda="12.6", code=["sm_60"])
    engine = chosen(make(of_torch=of_torch), "0")
    assert engine.name == TORCH
    assert engine.reason.startswith("mxnet 1.9.1 of ")
    assert "is a CPU build" in engine.reason


def test_two_builds_for_the_cpu_where_a_gpu_is_wanted(make: Make) -> None:
    error = refused(make(), "0")
    assert str(error).startswith("mxnet 1.9.1 and torch 2.13.0 of ")
    assert str(error).endswith("; the run needs 1 (CUDA_VISIBLE_DEVICES='0')")
    assert "--cpu" in error.remedy


def test_a_card_for_which_neither_has_code(make: Make) -> None:
    python = make(
        builds={"mxnet-cu112": "1.9.1", "torch": "2.13.0"},
        of_mxnet=mxnet(1, cuda=True),
        of_torch=torch(("K80", (3, 7)), cuda="13.0", code=["sm_75"]),
        cards=[("K80", (3, 7))],
    )
    error = refused(python, "0")
    assert "MXNet: mxnet-cu112 1.9.1 has no code for compute capability 3.7 (K80)" in str(error)
    assert "PyTorch: torch 2.13.0 has no code for compute capability 3.7 (K80)" in str(error)
    assert "--cpu" in error.remedy


def test_a_build_that_does_not_tell_its_code(make: Make) -> None:
    python = make(builds={"mxnet-native": "2"}, of_mxnet=mxnet(1, cuda=True), cards=[H100])
    assert chosen(python, "0").reason == "it is installed and sees the GPU"


def test_fewer_gpus_than_the_run_needs(make: Make) -> None:
    builds = {"mxnet-cu112": "1.9.1"}
    python = make(builds=builds, of_mxnet=mxnet(1, cuda=True), cards=[P40])
    error = refused(python, "0,1")
    assert "MXNet sees 1 GPU; the run needs 2 (CUDA_VISIBLE_DEVICES='0,1')" in str(error)
    error = refused(make(builds={"torch": "2.13.0"}, of_torch=torch(cuda="13.0")), "0")
    assert "PyTorch sees 0 GPUs; the run needs 1" in str(error)
    error = refused(make(builds={"mxnet": "1.9.1"}), "0")
    assert "is a CPU build, which uses no GPU" in str(error)
    assert "--cpu" in error.remedy


@pytest.mark.parametrize(("python", "ways"), [("3.13.0", ["torch"]), ("3.11.0", ["torch", "cpu"])])
def test_neither_is_installed(make: Make, python: str, ways: list[str]) -> None:
    error = refused(make(python, {}))
    assert "has no engine: neither MXNet nor PyTorch is installed there" in str(error)
    assert re.findall(r"pip install [^\[]*\[(\w+)\]", error.remedy) == ways


# -- asked for by name --------------------------------------------------------------------


@pytest.mark.parametrize("name", [MXNET, TORCH])
def test_the_one_that_is_asked_for(make: Make, name: str) -> None:
    engine = chosen(make(), wanted=name)
    assert (engine.name, engine.reason) == (name, f"selected by --engine {name}")


@pytest.mark.parametrize(
    ("python", "builds", "wanted", "said"),
    [
        ("3.13.0", {"torch": "2.13.0"}, MXNET, "MXNet requires Python 3.10 to 3.11"),
        ("3.9.1", {"torch": "2.13.0"}, TORCH, "is Python 3.9.1, which neither engine supports"),
        ("3.11.0", {"torch": "2.13.0"}, MXNET, "MXNet is not installed"),
        ("3.11.0", {"mxnet": "1.9.1"}, TORCH, "PyTorch is not installed"),
        ("3.11.0", {"torch": "2.3.1+cu121"}, TORCH, "torch 2.3.1+cu121; the PyTorch engine"),
        ("3.11.0", {"torch": "2.4", "numpy": "1.22.4"}, TORCH, "numpy 1.22.4; the PyTorch engine"),
    ],
)
def test_what_it_lacks(
    make: Make, python: str, builds: dict[str, str], wanted: str, said: str
) -> None:
    error = refused(make(python, builds), wanted=wanted)
    assert said in str(error)
    assert error.remedy


def test_torch_on_several_devices(make: Make) -> None:
    python = make(of_torch=torch(P40, P40, cuda="12.6", code=["sm_60"]))
    assert chosen(python, "0,1", TORCH).name == TORCH
    error = refused(python, "0,1,2", TORCH)
    assert str(error).startswith("PyTorch sees 2 GPUs; the run needs 3")


# -- the environment ----------------------------------------------------------------------


def engine(name: str) -> Engine:
    return Engine(name, f"{name} 1", "", Interpreter("/python", "3.11.0", {}, ("/nvidia/lib",)))


def test_the_environment_of_each() -> None:
    base = {"PYTHONPATH": "/mine"}
    assert engine(MXNET).environment(base, "0") == {
        "PYTHONPATH": f"{FOLDER}:/mine",
        "CUDA_VISIBLE_DEVICES": "0",
        "LD_LIBRARY_PATH": "/nvidia/lib",
    }
    assert engine(TORCH).environment(base, "0") == {
        "PYTHONPATH": f"{PACKAGE}:{FOLDER}:/mine",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert engine(TORCH).environment({}, "")["PYTHONPATH"] == f"{PACKAGE}:{FOLDER}"


def test_the_other_engine_is_taken_off_the_path() -> None:
    """A shell that evaluated the output of `mfn-patch env` has it there."""
    for name in (MXNET, TORCH):
        base = {"PYTHONPATH": f"{PACKAGE}:{FOLDER}:/mine"}
        assert engine(name).environment(base, "0") == engine(name).environment(
            {"PYTHONPATH": "/mine"}, "0"
        )
    assert without_packages({"PYTHONPATH": str(PACKAGE)}) == {}
    assert without_packages({"PYTHONPATH": "/a:"}) == {"PYTHONPATH": "/a:"}
    assert PACKAGE.name == "pytorch"
