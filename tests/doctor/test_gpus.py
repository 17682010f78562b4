"""GPUs, their driver and their memory, with libraries built here in place of NVIDIA's."""

from __future__ import annotations

import ctypes.util
import sys
from pathlib import Path

import pytest

from mfn_patcher.children.libraries import Gpu
from mfn_patcher.doctor.gpus import judge_memory
from mfn_patcher.finding import Finding, Level
from mfn_patcher.training.memory import ON_TOP, MemoryEstimate
from tests.support import stub_driver
from tests.support.doctor import examine, findings_of

pytestmark = pytest.mark.long

GIB = 1 << 30
# 512 images on each of two GPUs take 19 GiB, 18 of which are for the batch.
NEED = MemoryEstimate(85164, 19 * GIB, 18 * GIB, 48 << 20, 125)


@pytest.mark.parametrize(
    ("free", "level", "batch"),
    [
        (19 * GIB + ON_TOP, Level.OK, ""),
        (None, Level.OK, ""),
        (19 * GIB + ON_TOP - 1, Level.WARNING, "--batch-size 512 --scale-steps"),
        (19 * GIB, Level.WARNING, "--batch-size 512 --scale-steps"),
        (19 * GIB - 1, Level.ERROR, "--batch-size 512 --scale-steps"),
        (10 * GIB + ON_TOP - 1, Level.ERROR, "--batch-size 256 --scale-steps"),
        (2 * GIB, Level.ERROR, ""),
    ],
)
def test_memory(free: int | None, level: Level, batch: str) -> None:
    gpu = Gpu("Stand-in P40", (6, 1), 24 * GIB, free)
    found = judge_memory(gpu, NEED, 1024, 2)
    assert found.level is level
    assert bool(found.remedy) == (level is not Level.OK)
    assert batch in found.remedy
    assert ("--batch-size" in found.remedy) == bool(batch)


def test_memory_without_an_estimate() -> None:
    assert judge_memory(Gpu("Stand-in P40", (6, 1), 24 * GIB, 0), None, 512, 1) == Finding(
        Level.OK, "GPU", "Stand-in P40, compute capability 6.1, 24.0 GiB, 0.0 GiB of it free"
    )


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package mxnet whose library links the driver; return where the driver belongs."""
    if sys.version_info >= (3, 12):
        pytest.skip("no MXNet trains on a Python this new, and the doctor checks nothing further")
    site, folder, gone = tmp_path / "site", tmp_path / "driver", tmp_path / "gone"
    links = [
        stub_driver.build(site / "nvidia" / "cuda_runtime" / "lib" / "libcudart.so.11.0", ""),
        stub_driver.build(gone / "libcuda.so.1", ""),
    ]
    stub_driver.build(site / "mxnet" / "libmxnet.so", "", links)
    links[-1].unlink()
    (site / "mxnet" / "__init__.py").write_text(
        "import ctypes, os\n"
        "ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libmxnet.so'))\n"
        "__version__ = '1.9.1'\n"
        "class runtime:\n"
        "    class Features:\n"
        "        is_enabled = lambda self, name: True\n"
        "class context:\n"
        "    num_gpus = staticmethod(lambda: 2)\n"
    )
    packages = ("scipy", "scikit_learn", "scikit_image", "easydict", "opencv_python")
    for name in ("mxnet_cu112", *packages):
        metadata = site / f"{name}-1.9.1.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.9.1\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    return folder / "libcuda.so.1"


def test_the_driver_is_missing(driver: Path, tmp_path: Path) -> None:
    if ctypes.util.find_library("cuda"):
        pytest.skip("this machine has a driver, which the doctor would find")
    assert not driver.exists()
    findings = examine(tmp_path / "none")
    mxnet = findings_of(findings, "MXNet")[0]
    assert "libcuda.so.1: cannot open" in mxnet.detail
    assert mxnet.remedy == "See the failed libraries below."
    (runtime,) = findings_of(findings, "libcudart.so.11.0")
    assert runtime.level is Level.OK
    assert runtime.detail.endswith("(NVIDIA's pip package)")
    (missing,) = findings_of(findings, "libcuda.so.1")
    assert (missing.level, "NVIDIA's driver" in missing.remedy) == (Level.ERROR, True)
    (seen,) = findings_of(findings, "GPU")
    assert (seen.level, seen.detail) == (Level.ERROR, "no GPU found: there is no driver")


def test_a_driver_without_gpus(driver: Path, tmp_path: Path) -> None:
    functions = ("cuInit", "cuDriverGetVersion", "cuGetErrorString")
    stub_driver.build(driver, stub_driver.without_gpus(functions))
    findings = examine(tmp_path / "none")
    mxnet = findings_of(findings, "MXNet")[0]
    assert mxnet.level is Level.OK
    assert "mxnet-cu112 1.9.1, a build for CUDA 11, can be imported" in mxnet.detail
    (seen,) = findings_of(findings, "GPU")
    assert seen.detail == "no GPU found: cuInit: unknown error (100)"


def test_gpus(driver: Path, tmp_path: Path) -> None:
    stub_driver.build(driver, stub_driver.WITH_TWO_GPUS)
    findings = examine(tmp_path / "none")
    (said,) = findings_of(findings, "driver")
    assert (said.level, said.detail) == (Level.OK, "supports CUDA 12.2")
    (first,) = findings_of(findings, "GPU")
    assert first.detail == "Stand-in P40, compute capability 6.1, 40.0 GiB, 39.0 GiB of it free"
    first, second = findings_of(examine(tmp_path / "none", gpus="0,1"), "GPU")
    assert (first.level, second.level) == (Level.OK, Level.ERROR)
    assert second.detail.endswith("mxnet-cu112 1.9.1 has no code for it")
    fewer, *_ = findings_of(examine(tmp_path / "none", gpus="0,1,2,3"), "GPU")
    assert fewer.detail.startswith("2 found, but training needs 4 (CUDA_VISIBLE_DEVICES='0,1,2,3')")
    (none,) = findings_of(examine(tmp_path / "none", visible_devices=""), "GPU")
    assert (none.level, none.detail[:27]) == (Level.WARNING, "CUDA_VISIBLE_DEVICES is emp")
    (cpu,) = findings_of(examine(tmp_path / "none", cpu=True), "GPU")
    assert (cpu.level, cpu.detail) == (
        Level.OK,
        "not used, as requested; OMP_NUM_THREADS is 1",
    )


def test_a_driver_that_is_too_old(driver: Path, tmp_path: Path) -> None:
    stub_driver.build(driver, stub_driver.WITH_TWO_GPUS.replace("12020", "10020"))
    (said,) = findings_of(examine(tmp_path / "none"), "driver")
    assert (said.level, said.detail) == (
        Level.ERROR,
        "supports CUDA 10.2; MXNet is built for CUDA 11",
    )
