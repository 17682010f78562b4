from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.children import interpreter, programs
from mfn_patcher.children.environment import child_environment, count_cores
from mfn_patcher.children.interpreter import Interpreter, InterpreterError
from tests.support.repositories import ROOT

VERSIONS = {
    "mxnet": "1.9.1",
    "numpy": "1.23.5",
    "scipy": "1.10",
    "scikit-learn": "1.2",
    "scikit-image": "0.20",
    "opencv-python": "4.5",
    "easydict": "1.10",
}
Fake = Callable[..., str]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """Makes an interpreter that answers the probe as told."""

    def make(
        python: str = "3.10.4",
        versions: dict[str, str] = VERSIONS,
        libraries: tuple[str, ...] = (),
        **mxnet: Any,
    ) -> str:
        answer = {
            "python": python,
            "versions": versions,
            "libraries": libraries,
            "mxnet_library": "/m/libmxnet.so",
            "mxnet": mxnet,
        }
        path = tmp_path / "a python"
        path.write_text(f"#!/bin/sh\ncat <<'EOF'\nnoise\n{json.dumps(answer)}\nEOF\n")
        path.chmod(0o755)
        return str(path)

    return make


def test_this_interpreter_answers() -> None:
    probe = interpreter.ask(sys.executable, os.environ, "environment", "--import")
    assert probe["python"] == ".".join(map(str, sys.version_info[:3]))
    assert Path(probe["executable"]).exists()
    assert "numpy" in probe["versions"]
    assert set(probe["mxnet"]) in ({"error"}, {"version", "cuda", "gpus"})


def test_the_probe_is_syntax_of_old_versions() -> None:
    tree = ast.parse((programs.FOLDER / "environment.py").read_text(), feature_version=(3, 6))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in imported] == ["importlib"]
    assert not any(isinstance(node, ast.JoinedStr) for node in ast.walk(tree))


def test_nvidia_folders_are_found(tmp_path: Path) -> None:
    for name in ("nccl", "cudnn"):
        (tmp_path / "nvidia" / name / "lib").mkdir(parents=True)
    probe = interpreter.ask(
        sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)}, "environment"
    )
    assert probe["libraries"][:2] == [f"{tmp_path}/nvidia/{n}/lib" for n in ("cudnn", "nccl")]


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert interpreter.find(None) == sys.executable
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    assert interpreter.find("./python") == str(link)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreter.find("python") == str(link)
    with pytest.raises(InterpreterError, match=re.escape("no such interpreter: 'none'")):
        interpreter.find("none")


def test_inspect(fake: Fake) -> None:
    python = fake(libraries=("/n/lib",))
    found = interpreter.inspect(python, os.environ)
    assert found == Interpreter(python, "3.10.4", VERSIONS, ("/n/lib",), "/m/libmxnet.so")


@pytest.mark.parametrize("version", ["2.7.18", "3.9.20", "3.15.0", "4.0.0"])
def test_a_version_of_no_engine(fake: Fake, version: str) -> None:
    with pytest.raises(InterpreterError, match=f"is Python {version}") as caught:
        interpreter.inspect(fake(version), os.environ)
    assert "--python" in caught.value.remedy


def test_missing_packages(fake: Fake) -> None:
    versions = {k: v for k, v in VERSIONS.items() if k not in ("easydict", "opencv-python")}
    with pytest.raises(InterpreterError, match="is missing easydict, opencv") as caught:
        interpreter.inspect(fake(versions=versions), os.environ)
    assert "[cpu]'`." in caught.value.remedy
    with pytest.raises(InterpreterError, match="is missing easydict, opencv") as caught:
        interpreter.inspect(fake("3.13.1", versions=versions), os.environ)
    assert "[torch]'`." in caught.value.remedy


@pytest.mark.parametrize(("engine", "extra"), [("torch", "torch"), ("mxnet", "cpu")])
def test_missing_packages_of_the_engine_that_is_asked_for(
    fake: Fake, engine: str, extra: str
) -> None:
    installed = {} if engine == "torch" else {"torch": "2.13.0"}
    with pytest.raises(InterpreterError, match="is missing numpy") as caught:
        interpreter.inspect(fake(versions=installed), os.environ, engine)
    assert f"[{extra}]'`." in caught.value.remedy


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 3", "#!/bin/sh\necho hello", "", "#!/none\n"])
def test_no_interpreter(tmp_path: Path, text: str) -> None:
    path = tmp_path / "python"
    path.write_text(text)
    path.chmod(0o755)
    with pytest.raises(InterpreterError):
        interpreter.inspect(str(path), os.environ)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("ModuleNotFoundError: No module named 'mxnet'", f"pip install --editable '{ROOT}[cpu]'`"),
        ("OSError: libgomp.so.1: cannot open shared", "apt-get install libgomp1 libquadmath0"),
        ("OSError: libquadmath.so.0: cannot open", "apt-get install libgomp1 libquadmath0"),
        ("OSError: libcuda.so.1: cannot open shared object", "NVIDIA's driver"),
        ("OSError: libcudnn.so.8: cannot open shared", "pip install nvidia-cudnn-cu11==8.9.6.50`"),
        ("OSError: libcublasLt.so.11: cannot open", "pip install nvidia-cublas-cu11==11.11.3.6`"),
        ("AttributeError: module 'numpy' has no attribute 'bool'", "numpy<1.24"),
    ],
)
def test_what_helps_where_mxnet_cannot_be_imported(error: str, remedy: str) -> None:
    found = interpreter.remedy(error, "/a/python")
    assert remedy in found
    assert "{" not in found


# -- environment --------------------------------------------------------------------------


def test_environment_on_gpus() -> None:
    base = {"A": "b", "CUDA_VISIBLE_DEVICES": "7"}
    assert child_environment(base, "0,1", ()) == {"A": "b", "CUDA_VISIBLE_DEVICES": "0,1"}
    assert base["CUDA_VISIBLE_DEVICES"] == "7"


def test_environment_on_the_cpu(tmp_path: Path) -> None:
    for cpu in os.sched_getaffinity(0):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text("0-999\n")
    assert child_environment({}, "", (), tmp_path)["OMP_NUM_THREADS"] == "1"
    set_by_user = {"OMP_NUM_THREADS": "5", "OMP_WAIT_POLICY": "ACTIVE"}
    assert child_environment(set_by_user, "", ()) == {"CUDA_VISIBLE_DEVICES": "", **set_by_user}
    assert child_environment({}, "", ())["GOMP_SPINCOUNT"] == "10000"
    assert count_cores(tmp_path / "none") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("base", "path"), [({}, "/a:/b"), ({"LD_LIBRARY_PATH": ""}, "/a:/b"),
                       ({"LD_LIBRARY_PATH": "/x:/y"}, "/a:/b:/x:/y")],
)  # fmt: skip
def test_libraries_come_first(base: dict[str, str], path: str) -> None:
    assert child_environment(base, "0", ("/a", "/b"))["LD_LIBRARY_PATH"] == path
    assert child_environment(base, "0", ()).get("LD_LIBRARY_PATH") == base.get("LD_LIBRARY_PATH")
