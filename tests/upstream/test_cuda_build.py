"""The CUDA build of MXNet with nothing but the packages of the extra ``cu112``, and no GPU.

A driver built here stands in for NVIDIA's: it has the functions that ``libmxnet.so`` asks for, and
sees no GPU. So this proves that every other library is brought and found, that MXNet is imported
and computes on the CPU, and that the tool says what is missing. It proves nothing of a GPU.

These tests install about 4 GB, so they only run when asked for: ``make test-slow``.
"""

from __future__ import annotations

import collections
import ctypes.util
import json
import mmap
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from mfn_patcher.children import interpreter, libraries
from mfn_patcher.children.environment import child_environment
from mfn_patcher.children.interpreter import Interpreter, InterpreterError
from mfn_patcher.data.synth import synthesise
from mfn_patcher.engine import MXNET
from mfn_patcher.engine.cards import MXNET_WHEELS
from mfn_patcher.engine.choice import choose
from tests.support import stub_driver
from tests.support.repositories import ROOT
from tests.support.tool import validated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

# Numbers of the driver's interface: these have a prefix of their own, cu and a capital.
DRIVER_FUNCTION = re.compile(r"cu[A-Z]\w*")

NVIDIAS = {"cublas", "cudart", "cudnn", "cufft", "curand", "cusolver", "nccl", "nvToolsExt"}
NVIDIAS |= {"nvrtc"}

COMPUTATION = """
import mxnet as mx
total = mx.nd.dot(mx.nd.ones((3, 4)), mx.nd.ones((4, 5))).sum().asscalar()
try:
    mx.nd.ones(1, ctx=mx.gpu(0)).wait_to_read()
except mx.MXNetError:
    print(total, mx.context.num_gpus(), mx.runtime.Features().is_enabled("CUDA"))
"""


@dataclass(frozen=True)
class Installed:
    """A virtual environment with nothing but the extra ``cu112``, and a stand-in for the driver."""

    folder: Path
    driver: Path
    environment: dict[str, str]

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def with_driver(self) -> dict[str, str]:
        return {**self.environment, "LD_LIBRARY_PATH": str(self.driver.parent)}

    def inspect(self) -> Interpreter:
        return interpreter.inspect(self.python, self.environment)

    def run(self, environment: dict[str, str], *arguments: str | Path) -> tuple[int, str]:
        """Run the ``mfn-patch`` that is installed there."""
        ran = subprocess.run(
            [self.folder / "bin" / "mfn-patch", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    # pytest keeps its folders of several runs; this one is too large for that.
    with tempfile.TemporaryDirectory(prefix="mfn-patch-cu112-") as name:
        folder = Path(name) / "venv"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [str(folder / "bin" / "pip"), "install", "--quiet", "--no-cache-dir"]
        subprocess.run([*install, f"{ROOT}[cu112]"], check=True)
        gone = ("LD_LIBRARY_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES")
        environment = {name: value for name, value in os.environ.items() if name not in gone}
        yield Installed(folder, Path(name) / "driver" / "libcuda.so.1", environment)


@pytest.fixture(scope="module")
def library(installed: Installed) -> Path:
    path = installed.inspect().mxnet_library
    assert path
    return Path(path)


@pytest.fixture(scope="module")
def driver(installed: Installed, library: Path) -> Path:
    """The stand-in; where there is a driver, nothing must come before it."""
    if ctypes.util.find_library("cuda"):
        pytest.skip("this machine has a driver, in whose place no stand-in must be put")
    wanted = {name for name in functions(library, defined=False) if DRIVER_FUNCTION.fullmatch(name)}
    assert wanted
    added = ("cuInit", "cuDriverGetVersion", "cuGetErrorString")
    source = stub_driver.without_gpus(sorted(wanted | set(added)))
    return stub_driver.build(installed.driver, source)


def functions(path: Path, *, defined: bool) -> set[str]:
    """The dynamic symbols that a library defines, or asks others for."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        return {
            symbol.name
            for symbol in table.iter_symbols()
            if (symbol.entry.st_shndx != "SHN_UNDEF") == defined
        }


def diagnosis(installed: Installed, environment: dict[str, str], workspace: Path) -> dict[str, Any]:
    code, out = installed.run(environment, "doctor", "--json", "-w", workspace)
    assert code == 4
    found: dict[str, Any] = validated("doctor", out)
    return found


def failures(found: dict[str, Any]) -> dict[str, str]:
    failed = (finding for finding in found["findings"] if finding["level"] == "failed")
    return {finding["check"]: f"{finding['detail']}\n{finding['remedy']}" for finding in failed}


def test_only_the_driver_is_missing(installed: Installed, driver: Path, tmp_path: Path) -> None:
    assert driver.exists()  # but not on any path yet
    found = diagnosis(installed, installed.environment, tmp_path / "none")
    missing = [entry["name"] for entry in found["libraries"] if entry["error"]]
    assert missing == ["libcuda.so.1"]
    failed = failures(found)
    assert set(failed) == {"workspace", "data set", "MXNet", "libcuda.so.1", "GPU"}
    assert "NVIDIA's driver, which no pip package brings" in failed["libcuda.so.1"]
    assert failed["GPU"].startswith("no GPU found: there is no driver\n")
    brought = {entry["name"] for entry in found["libraries"] if entry["origin"] == "pip"}
    assert {name.partition(".")[0][len("lib") :] for name in brought} == NVIDIAS
    with pytest.raises(InterpreterError, match=r"libcuda\.so\.1") as caught:
        choose(MXNET, installed.python, installed.environment, "")
    assert "NVIDIA's driver" in caught.value.remedy


def test_the_stand_in_gives_what_nothing_else_does(
    installed: Installed, driver: Path, library: Path
) -> None:
    """The driver's functions are no library's that pip brought, so it has to be the driver's."""
    facts = installed.inspect()
    environment = child_environment(installed.with_driver, "", facts.libraries)
    found, _ = libraries.find(facts, libraries.read_linked(library), environment)
    others = [Path(str(entry.path)) for entry in found if entry.origin == "pip"]
    assert len(others) == len(NVIDIAS)
    assert not set.union(*(functions(path, defined=True) for path in others)) & functions(
        driver, defined=True
    ) - {"_init", "_fini"}


def test_import_and_compute_on_the_cpu(installed: Installed, driver: Path) -> None:
    # Without the folders of pip's packages, which train puts on the path, it cannot be imported.
    alone = subprocess.run(
        [installed.python, "-c", COMPUTATION],
        env={**installed.environment, "LD_LIBRARY_PATH": str(driver.parent)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "cannot open shared object file" in alone.stderr
    engine = choose(MXNET, installed.python, installed.with_driver, "")
    environment = engine.environment(installed.with_driver, "")
    ran = subprocess.run(
        [installed.python, "-c", COMPUTATION],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["60.0", "0", "True"]


def test_a_driver_without_a_gpu(installed: Installed, driver: Path, tmp_path: Path) -> None:
    found = diagnosis(installed, installed.with_driver, tmp_path / "none")
    (own,) = (entry for entry in found["libraries"] if entry["name"] == driver.name)
    assert (own["path"], own["origin"]) == (str(driver), "system")
    assert all(entry["path"] for entry in found["libraries"])
    assert found["driver"]["version"] == [11, 2]
    failed = failures(found)
    assert set(failed) == {"workspace", "data set", "GPU"}
    assert failed["GPU"].startswith("no GPU found: cuInit: unknown error (100)\n")


def test_the_real_script_trains_on_the_cpu(
    installed: Installed, driver: Path, patched: Path, tmp_path: Path
) -> None:
    """By `train` of the installed tool, which has to find pip's libraries by itself."""
    assert driver.exists()
    data, models = tmp_path / "data", tmp_path / "models"
    synthesise(data, identities=2, images_per_identity=4)
    small = ("--cpu", "--batch-size", "4", "--max-steps", "2", "--checkpoint-every", "2")
    places = ("-w", patched, "--data-dir", data, "--models-dir", models)
    chosen = ("--stage", "2", *small, *places, "--", "--target", "lfw")
    code, out = installed.run(installed.with_driver, "train", *chosen)
    assert code == 0, out
    assert "saving 1" in out
    (record,) = (json.loads(path.read_text()) for path in patched.glob("runs/*/run.json"))
    assert record["versions"]["mxnet-cu112"] == "1.9.1"
    assert record["last_checkpoint"] == 1


def test_the_gpus_that_it_has_code_for(library: Path) -> None:
    """Count the device code in the library: machine code (kind 2) or PTX (kind 1) by capability."""
    found: collections.Counter[tuple[int, int]] = collections.Counter()
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
        start = code.find(b"\x50\xed\x55\xba")
        while start >= 0:
            header, size = struct.unpack_from("<HQ", code, start + 6)
            place, end = start + header, start + header + size
            while header == 16 and place < end:
                kind, _, own, length = struct.unpack_from("<HHIQ", code, place)
                found[kind, struct.unpack_from("<I", code, place + 28)[0]] += 1
                place += own + length
            start = code.find(b"\x50\xed\x55\xba", max(end if header == 16 else 0, start + 4))
    assert set(found) == {(2, capability) for capability in (50, 60, 70, 80, 86)}
    held = tuple(f"sm_{capability}" for _, capability in sorted(found))
    assert held == MXNET_WHEELS["mxnet-cu112"]
