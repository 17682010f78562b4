"""The shared libraries that a build of MXNet links, and the GPUs that the driver sees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from mfn_patcher.children.interpreter import Interpreter, ask
from mfn_patcher.errors import MfnPatchError

_PROGRAM = "cuda"

# Libraries that belong to the C library, which every interpreter has.
_C_LIBRARY = ("ld-linux", "libc.so", "libdl.so", "libm.so", "libpthread.so", "librt.so")


class LibraryError(MfnPatchError):
    """A file is not a shared library."""


@dataclass(frozen=True)
class Linked:
    """What a shared library asks the loader for.

    Attributes:
        names: names of the libraries that it needs, in its order.
        folders: folders that it makes the loader search in addition to the usual ones.
    """

    names: tuple[str, ...]
    folders: tuple[str, ...]

    @property
    def cuda(self) -> int | None:
        """Major version of the CUDA runtime that it needs; None for a build without CUDA."""
        for name in self.names:
            if name.startswith("libcudart.so."):
                return int(name.split(".")[2])
        return None


@dataclass(frozen=True)
class Library:
    """Where the loader finds a library.

    Attributes:
        name: name that the loader is asked for.
        path: path of the file; None if it cannot be loaded.
        origin: ``pip`` for NVIDIA's packages, ``mxnet`` for what comes with MXNet, else
            ``system``; None if it cannot be loaded.
        error: message of the loader; None if it can be loaded.
    """

    name: str
    path: str | None
    origin: str | None
    error: str | None


@dataclass(frozen=True)
class Gpu:
    """A GPU, as the driver describes it.

    Attributes:
        name: name of the product.
        capability: compute capability, major and minor.
        total: memory in bytes.
        free: free memory in bytes; None if unknown.
    """

    name: str
    capability: tuple[int, int]
    total: int
    free: int | None


@dataclass(frozen=True)
class Driver:
    """What the CUDA driver reports.

    Attributes:
        version: version of CUDA that it supports, major and minor; None if unknown.
        gpus: GPUs that are visible to a run.
        error: message of the driver; None if it works.
    """

    version: tuple[int, int] | None
    gpus: tuple[Gpu, ...]
    error: str | None


def read_linked(library: Path) -> Linked:
    """Read from its dynamic section what a shared library needs.

    Raises:
        LibraryError: It is not an ELF file, or cannot be read.
    """
    names: list[str] = []
    folders: list[str] = []
    # The types of segments and tags do not have these attributes.
    segment: Any
    tag: Any
    try:
        with library.open("rb") as file:
            for segment in ELFFile(file).iter_segments("PT_DYNAMIC"):
                names += [tag.needed for tag in segment.iter_tags("DT_NEEDED")]
                for tag in segment.iter_tags("DT_RPATH"):
                    folders += tag.rpath.split(":")
                for tag in segment.iter_tags("DT_RUNPATH"):
                    folders += tag.runpath.split(":")
    except (ELFError, OSError, ValueError) as error:
        raise LibraryError(f"cannot read {library} as a shared library: {error}") from error
    if not names:
        raise LibraryError(f"{library} is not a shared library: it links nothing")
    origin = str(library.resolve().parent)
    placed = [f.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for f in folders if f]
    wanted = [name for name in names if not name.startswith(_C_LIBRARY)]
    return Linked(tuple(wanted), tuple(placed))


def find(
    interpreter: Interpreter, linked: Linked, environment: Mapping[str, str]
) -> tuple[tuple[Library, ...], Driver | None]:
    """Load libraries in the training interpreter, and ask the driver if it is one of them.

    Args:
        interpreter: the training interpreter.
        linked: the libraries.
        environment: environment variables of the run.

    Returns:
        The libraries, in order, and what the driver reports; None if there is no driver.

    Raises:
        InterpreterError: The interpreter ended without an answer.
    """
    # A library's own folders are also searched for what its libraries need in turn.
    folders = [*linked.folders, *filter(None, [environment.get("LD_LIBRARY_PATH")])]
    searched = {**environment, "LD_LIBRARY_PATH": os.pathsep.join(folders)}
    answer = ask(interpreter.path, searched if folders else environment, _PROGRAM, *linked.names)
    libraries = []
    for name, found in answer["libraries"].items():
        path = found.get("path")
        origin = path and _origin(path, interpreter)
        libraries.append(Library(name, path, origin, found.get("error")))
    return tuple(libraries), answer["driver"] and _driver(answer["driver"])


def ask_driver(interpreter: Interpreter, environment: Mapping[str, str]) -> Driver | None:
    """Ask the CUDA driver for its GPUs in the training interpreter; None if there is no driver.

    Raises:
        InterpreterError: The interpreter ended without an answer.
    """
    answer = ask(interpreter.path, environment, _PROGRAM, "libcuda.so.1")["driver"]
    return answer and _driver(answer)


def _origin(path: str, interpreter: Interpreter) -> str:
    folder = Path(path).parent
    if str(folder) in interpreter.libraries:
        return "pip"
    own = interpreter.mxnet_library
    return "mxnet" if own and folder.resolve() == Path(own).resolve().parent else "system"


def _driver(answer: Mapping[str, Any]) -> Driver:
    number = answer["version"]
    gpus = [
        Gpu(gpu["name"], tuple(gpu["capability"]), gpu["total"], gpu["free"])
        for gpu in answer["gpus"]
    ]
    # 11020 is CUDA 11.2.
    version = (number // 1000, number % 1000 // 10) if number is not None else None
    return Driver(version, tuple(gpus), answer["error"])
