"""The script reads verification sets without running what they name."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import numpy as np
import pytest

from mfn_patcher.dataset.synth import synthesise
from mfn_patcher.dataset.verification_set import write_verification_set
from tests.conftest import Tool

IMAGES = [b"\xff\xd8 one", b"\xff\xd8 two \x00\x80", b"\xff\xd8 three", b"\xff\xd8 4"]


class Hostile:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def reader(patched: Path) -> ModuleType:
    """The module of the patched script that reads the sets; it needs no MXNet."""
    path = patched / "src" / "common" / "verification_set.py"
    specification = importlib.util.spec_from_file_location("patched_verification_set", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_set_of_python_2_is_read_as_pickle_reads_it(reader: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "lfw.bin"
    write_verification_set(path, IMAGES, [True, False])
    assert reader.read(str(path)) == pickle.loads(path.read_bytes(), encoding="bytes")


def as_array(image: bytes) -> Any:
    return np.frombuffer(image, dtype=np.uint8)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [bytes, as_array])
@pytest.mark.parametrize(
    "same", [[True, False], [np.True_, np.False_], np.array([True, False])], ids=str
)
def test_a_set_of_python_3(
    reader: ModuleType, tmp_path: Path, protocol: int, kind: Callable[[bytes], Any], same: Any
) -> None:
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([kind(image) for image in IMAGES], same), protocol=protocol))
    assert reader.read(str(path)) == (IMAGES, [True, False])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_not_run(reader: ModuleType, tmp_path: Path, protocol: int) -> None:
    path, trap = tmp_path / "lfw.bin", tmp_path / "trap"
    path.write_bytes(pickle.dumps(([Hostile(os.mkdir, str(trap))], [True]), protocol=protocol))
    with pytest.raises(SystemExit, match=r"lfw.bin asks for (posix|nt)\.mkdir"):
        reader.read(str(path))
    assert not trap.exists()
    pickle.loads(path.read_bytes())
    assert trap.exists(), "it would have run"


@pytest.mark.parametrize(
    "value", [np.array([IMAGES, None], dtype=object), np.zeros(3), np.float64(1)]
)
def test_other_arrays(reader: ModuleType, tmp_path: Path, value: Any) -> None:
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([value], [True])))
    with pytest.raises(SystemExit, match=r"an array of type (O8|f8)"):
        reader.read(str(path))


@pytest.mark.mxnet
def test_a_data_set_that_carries_code_is_refused(
    tool: Tool, patched: Path, tmp_path: Path, training_environment: dict[str, str]
) -> None:
    """By `data check`, and by the script itself where nobody asked that."""
    data, trap = tmp_path / "data", tmp_path / "trap"
    synthesise(data, identities=2, images_per_identity=2)
    hostile = Hostile(os.system, f"touch '{trap}'")
    (data / "agedb_30.bin").write_bytes(pickle.dumps(([hostile], [True]), protocol=2))

    checked = tool("data", "check", data)
    assert checked.code == 4
    assert "system: it carries code, none of which was run" in checked.out + checked.err

    arguments = ["--network", "y1", "--data-dir", str(data), "--prefix", str(tmp_path / "m" / "m")]
    ran = subprocess.run(
        [sys.executable, "train_softmax.py", *arguments, "--per-batch-size", "2"],
        cwd=patched / "src",
        env=training_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "agedb_30.bin asks for posix.system, which no verification set needs" in ran.stderr
    assert "Traceback" not in ran.stderr

    assert not trap.exists()
    pickle.loads((data / "agedb_30.bin").read_bytes())
    assert trap.exists(), "it would have run"
