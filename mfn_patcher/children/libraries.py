"""The shared libraries that a build of MXNet links, and the GPUs that its driver sees."""

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

# The C library's own: an interpreter that runs has them.
_C_LIBRARY = ("ld-linux", "libc.so", "libdl.so", "libm.so", "libpthread.so", "librt.so")


class LibraryError(MfnPatchError):
    """A file is no shared library."""


@dataclass(frozen=True)
class Linked:
    """What a shared library asks the loader for.

    Attributes:
        names: Of the libraries that it needs, in its order.
        folders: Where it has the loader look, besides the usual places.
    """

    names: tuple[str, ...]
    folders: tuple[str, ...]

    @property
    def cuda(self) -> int | None:
        """The major version of the CUDA runtime it needs; None for a build without CUDA."""
        for name in self.names:
            if name.startswith("libcudart.so."):
                return int(name.split(".")[2])
        return None


@dataclass(frozen=True)
class Library:
    """Where the loader finds a library.

    Attributes:
        name: As it is asked for.
        path: Where it is; None if it can't be loaded.
        origin: ``pip`` for NVIDIA's packages, ``mxnet`` for what comes with MXNet, else
            ``system``; None if it can't be loaded.
        error: Why it can't be loaded, in the loader's words; None if it can.
    """

    name: str
    path: str | None
    origin: str | None
    error: str | None


@dataclass(frozen=True)
class Gpu:
    """A GPU, as the driver describes it.

    Attributes:
        name: Of the product.
        capability: Its compute capability, major and minor.
        total: Its memory, in bytes.
        free: What nobody uses of that; None if it can't be told.
    """

    name: str
    capability: tuple[int, int]
    total: int
    free: int | None


@dataclass(frozen=True)
class Driver:
    """What the CUDA driver says.

    Attributes:
        version: Of CUDA that it is made for, major and minor.
        gpus: Those that are visible to a run.
        error: What went wrong, in the driver's words; None if nothing did.
    """

    version: tuple[int, int] | None
    gpus: tuple[Gpu, ...]
    error: str | None


def read_linked(library: Path) -> Linked:
    """Read what a shared library needs from its dynamic section.

    Raises:
        LibraryError: It is no ELF file, or can't be read.
    """
    names: list[str] = []
    folders: list[str] = []
    # Only segments and tags of these kinds have these attributes.
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
        raise LibraryError(f"{library} is no shared library that can be read: {error}") from error
    if not names:
        raise LibraryError(f"{library} is no shared library: it links none, not even C's")
    origin = str(library.resolve().parent)
    placed = [f.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for f in folders if f]
    wanted = [name for name in names if not name.startswith(_C_LIBRARY)]
    return Linked(tuple(wanted), tuple(placed))


def find(
    interpreter: Interpreter, linked: Linked, environment: Mapping[str, str]
) -> tuple[tuple[Library, ...], Driver | None]:
    """Let the training interpreter load libraries, and ask the driver if it is one of them.

    Args:
        interpreter: To do it with.
        linked: What is needed.
        environment: Of the run.

    Returns:
        The libraries, in order, and what the driver says; None if there is none.

    Raises:
        InterpreterError: The interpreter ended without an answer.
    """
    # A library's own folders also count for what its libraries need in turn.
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
    """Let the training interpreter ask the CUDA driver for its GPUs; None if there is no driver.

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
