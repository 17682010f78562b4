"""Which engines an interpreter has: their builds, and what each says about itself when imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mfn_patcher.children import interpreter as interpreters
from mfn_patcher.children import libraries
from mfn_patcher.children.interpreter import Interpreter, InterpreterError
from mfn_patcher.engine import MXNET, TITLES, TORCH
from mfn_patcher.engine.cards import MXNET_WHEELS, Capability, has_code
from mfn_patcher.remedies import install

_PYTHONS = {MXNET: ((3, 10), (3, 11)), TORCH: ((3, 10), (3, 14))}
_OLDEST = {"torch": (2, 4), "numpy": (1, 23)}


@dataclass(frozen=True)
class Candidate:
    """An engine as it was found in an interpreter.

    Attributes:
        name: ``mxnet`` or ``torch``.
        build: distribution and version; empty if the engine is not installed.
        fault: why it cannot compute at all; None if it can.
        cuda: whether it is built for GPUs.
        toolkit: major version of the CUDA toolkit it is built for; None if unknown.
        gpus: number of GPUs that it sees.
        cards: name and compute capability of the requested GPUs, as far as they are known.
        architectures: what it contains code for, as `has_code` takes it; empty if unknown.
    """

    name: str
    build: str
    fault: InterpreterError | None
    cuda: bool = False
    toolkit: int | None = None
    gpus: int = 0
    cards: tuple[tuple[str, Capability], ...] = ()
    architectures: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether it is installed, usable or not."""
        return bool(self.build)

    def runs_on(self, capability: Capability) -> bool:
        """Return whether it has code for a GPU; True if that is unknown."""
        return not self.architectures or has_code(self.architectures, capability)


def inspect(
    name: str, interpreter: Interpreter, environment: Mapping[str, str], devices: int
) -> Candidate:
    """Import an engine in an interpreter, and return what it says about itself.

    Args:
        name: ``mxnet`` or ``torch``.
        interpreter: the training interpreter.
        environment: the environment in which ``import mxnet`` finds this engine.
        devices: number of requested GPUs, 0 for the CPU.
    """
    if name == MXNET:
        return _inspect_mxnet(interpreter, environment, devices)
    return _inspect_torch(interpreter, environment)


def _inspect_mxnet(
    interpreter: Interpreter, environment: Mapping[str, str], devices: int
) -> Candidate:
    builds = _mxnet_builds(interpreter)
    build = ", ".join(f"{name} {version}" for name, version in builds.items())
    fault = unsuitable_python(MXNET, interpreter)
    if fault is None and not interpreter.mxnet_library:
        fault = InterpreterError(
            f"MXNet is not installed in {interpreter.path}",
            remedy=interpreters.remedy("", interpreter.path),
        )
    if fault:
        return Candidate(MXNET, build, fault)
    cards: tuple[tuple[str, Capability], ...] = ()
    architectures = next((MXNET_WHEELS[name] for name in builds if name in MXNET_WHEELS), ())
    if devices and architectures:
        driver = libraries.ask_driver(interpreter, environment)
        gpus = driver.gpus[:devices] if driver else ()
        cards = tuple((gpu.name, gpu.capability) for gpu in gpus)
    answer = interpreters.try_import(interpreter, environment)
    if "error" in answer:
        fault = InterpreterError(
            f"{interpreter.path} cannot import MXNet: {answer['error']}",
            remedy=interpreters.remedy(answer["error"], interpreter.path),
        )
        return Candidate(MXNET, build, fault, architectures=architectures)
    return Candidate(
        MXNET,
        build or f"mxnet {answer['version']}",
        None,
        cuda=answer["cuda"],
        gpus=answer["gpus"],
        cards=cards,
        architectures=architectures,
    )


def _mxnet_builds(interpreter: Interpreter) -> dict[str, str]:
    """Return the versions of the installed distributions of MXNet, by name."""
    return {
        name: version
        for name, version in interpreter.versions.items()
        if name == "mxnet" or name.startswith("mxnet-")
    }


def _inspect_torch(interpreter: Interpreter, environment: Mapping[str, str]) -> Candidate:
    version = interpreter.versions.get("torch")
    build = f"torch {version}" if version else ""
    if fault := _torch_fault(interpreter):
        return Candidate(TORCH, build, fault)
    answer = interpreters.try_import(interpreter, environment)
    found = answer.get("torch")
    if found is None:
        why = answer.get("error", "another package named mxnet is imported first")
        fault = InterpreterError(
            f"{interpreter.path} cannot import the PyTorch engine: {why}",
            remedy=_install_torch(interpreter),
        )
        return Candidate(TORCH, build, fault)
    return Candidate(
        TORCH,
        build,
        None,
        cuda=found["cuda"] is not None,
        toolkit=int(found["cuda"].partition(".")[0]) if found["cuda"] else None,
        gpus=answer["gpus"],
        cards=tuple((gpu["name"], tuple(gpu["capability"])) for gpu in found["gpus"]),
        architectures=tuple(found["architectures"]),
    )


def _torch_fault(interpreter: Interpreter) -> InterpreterError | None:
    """Return what the installed versions rule out, before anything is imported."""
    if fault := unsuitable_python(TORCH, interpreter):
        return fault
    remedy = _install_torch(interpreter)
    if "torch" not in interpreter.versions:
        return InterpreterError(
            f"PyTorch is not installed in {interpreter.path}",
            remedy=remedy,
        )
    for name, oldest in _OLDEST.items():
        version = interpreter.versions.get(name)
        if version and _major_minor(version) < oldest:
            return InterpreterError(
                f"{interpreter.path} has {name} {version}; the PyTorch engine requires "
                f"{dotted(oldest)} or later",
                remedy=remedy,
            )
    return None


def _install_torch(interpreter: Interpreter) -> str:
    return f"Install it with `{install('torch', interpreter.path)}`."


def unsuitable_python(name: str, interpreter: Interpreter) -> InterpreterError | None:
    """Return an error if an engine does not run on the interpreter's Python version."""
    oldest, newest = _PYTHONS[name]
    if oldest <= _major_minor(interpreter.python) <= newest:
        return None
    return InterpreterError(
        f"{interpreter.path} is Python {interpreter.python}; {TITLES[name]} requires Python "
        f"{dotted(oldest)} to {dotted(newest)}",
        remedy="Name another interpreter with --python.",
    )


def dotted(version: tuple[int, int]) -> str:
    """Return a pair of numbers as a version: ``8.6``."""
    return ".".join(map(str, version))


def _major_minor(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
