"""What a library links, where the loader finds it, and what the driver says.

The loader and the libraries are real; they are built here, for there is no GPU.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mfn_patcher.children import libraries
from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.children.libraries import Driver, Gpu, LibraryError, Linked
from tests.support import stub_driver

NO_DEVICES = ("cuInit", "cuDriverGetVersion")


def asked(own: str | None = None, folders: tuple[str, ...] = ()) -> Interpreter:
    return Interpreter(sys.executable, "3.11.0", {}, folders, own)


@pytest.fixture
def build_of_mxnet(tmp_path: Path) -> Path:
    """A library that links one beside it, one in a folder of pip's, a driver, and a missing one."""
    pip, driver = tmp_path / "nvidia" / "cudart" / "lib", tmp_path / "driver"
    own = tmp_path / "mxnet"
    links = [
        stub_driver.build(own / "libopenblas.so.0", "", origin=True),
        stub_driver.build(pip / "libcudart.so.11.0", ""),
        stub_driver.build(driver / "libcuda.so.1", stub_driver.WITH_TWO_GPUS),
        stub_driver.build(tmp_path / "gone" / "libcudnn.so.8", ""),
    ]
    stub_driver.build(own / "libmxnet.so", "", links, origin=True)
    links[-1].unlink()
    return own / "libmxnet.so"


def test_what_a_library_links(build_of_mxnet: Path) -> None:
    linked = libraries.read_linked(build_of_mxnet)
    names = ("libopenblas.so.0", "libcudart.so.11.0", "libcuda.so.1", "libcudnn.so.8")
    assert linked == Linked(names, (str(build_of_mxnet.parent),))
    assert linked.cuda == 11
    assert Linked(("libgomp.so.1",), ()).cuda is None


@pytest.mark.parametrize(
    "content", [b"", b"no library", b"\x7fELF", b"\x7fELF\x02\x01\x01" + bytes(60)]
)
def test_no_library(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "libmxnet.so"
    with pytest.raises(LibraryError, match=r"(not a|as a) shared library"):
        libraries.read_linked(path)
    path.write_bytes(content)
    with pytest.raises(LibraryError, match=r"(not a|as a) shared library"):
        libraries.read_linked(path)


def test_where_each_is_found(build_of_mxnet: Path, tmp_path: Path) -> None:
    pip, driver = tmp_path / "nvidia" / "cudart" / "lib", tmp_path / "driver"
    interpreter = asked(str(build_of_mxnet), (str(pip),))
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{pip}:{driver}"}
    linked = libraries.read_linked(build_of_mxnet)
    found, said = libraries.find(interpreter, linked, environment)
    assert [(library.path, library.origin) for library in found] == [
        (str(build_of_mxnet.parent / "libopenblas.so.0"), "mxnet"),
        (str(pip / "libcudart.so.11.0"), "pip"),
        (str(driver / "libcuda.so.1"), "system"),
        (None, None),
    ]
    assert [library.error is None for library in found] == [True, True, True, False]
    assert str(found[3].error).startswith("libcudnn.so.8: cannot open shared object file")
    # The second GPU is full: it cannot even be asked how much is left.
    assert said == Driver(
        (12, 2),
        (
            Gpu("Stand-in P40", (6, 1), 40 << 30, 39 << 30),
            Gpu("Stand-in H100", (9, 0), 41 << 30, None),
        ),
        None,
    )


def test_what_is_loaded_but_lacks_another_names_that(tmp_path: Path) -> None:
    inner = stub_driver.build(tmp_path / "inner" / "libcublasLt.so.11", "")
    stub_driver.build(tmp_path / "libcublas.so.11", "", [inner])
    inner.unlink()
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    (found,), said = libraries.find(asked(), Linked(("libcublas.so.11",), ()), environment)
    assert found.path is None
    assert str(found.error).startswith("libcublasLt.so.11: cannot open")
    assert said is None


@pytest.mark.parametrize(
    ("functions", "error"),
    [
        (NO_DEVICES, "undefined symbol: cuGetErrorString"),
        ((*NO_DEVICES, "cuGetErrorString"), "cuInit: unknown error (100)"),
    ],
)
def test_a_driver_without_gpus(tmp_path: Path, functions: tuple[str, ...], error: str) -> None:
    stub_driver.build(tmp_path / "libcuda.so.1", stub_driver.without_gpus(functions))
    linked = Linked(("libcuda.so.1",), (str(tmp_path),))
    _, said = libraries.find(asked(), linked, os.environ)
    assert said
    assert (said.version, said.gpus) == ((11, 2), ())
    assert str(said.error).endswith(error)
