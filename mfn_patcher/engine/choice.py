"""Which engine computes, and why.

MXNet is chosen where it is installed in the training interpreter and can compute on the devices
asked for; elsewhere the package of its name that computes with PyTorch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.children import interpreter as interpreters
from mfn_patcher.children import libraries
from mfn_patcher.children.environment import child_environment
from mfn_patcher.children.interpreter import Interpreter, InterpreterError
from mfn_patcher.engine import AUTO, MXNET, TORCH
from mfn_patcher.engine.cards import MXNET_WHEELS, Capability, has_code
from mfn_patcher.remedies import install

PACKAGE = Path(__file__).parent / "pytorch"
"""The folder of the package ``mxnet`` that computes with PyTorch."""

TITLES = {MXNET: "MXNet", TORCH: "PyTorch"}
_PYTHONS = {MXNET: ((3, 8), (3, 11)), TORCH: ((3, 10), (3, 14))}
_OLDEST_TORCH, _OLDEST_NUMPY = (2, 4), (1, 23)


@dataclass(frozen=True)
class Engine:
    """What computes in a training interpreter.

    Attributes:
        name: ``mxnet`` or ``torch``.
        build: distribution and version, such as ``mxnet-cu112 1.9.1``.
        reason: why it was chosen.
        interpreter: the training interpreter.
    """

    name: str
    build: str
    reason: str
    interpreter: Interpreter

    @property
    def title(self) -> str:
        """Its name for people, with the build."""
        return f"{TITLES[self.name]} ({self.build})"

    @property
    def modules(self) -> Path | None:
        """Folder of Python packages that must be found first; None if there is none."""
        return PACKAGE if self.name == TORCH else None

    def describe(self) -> str:
        """Return one line about it: what it is and why it was chosen."""
        return f"{self.title}: {self.reason}"

    def as_json(self) -> dict[str, str]:
        """Return what records and reports keep."""
        return {"name": self.name, "build": self.build, "reason": self.reason}

    def environment(self, base: Mapping[str, str], visible_devices: str) -> dict[str, str]:
        """Return the environment to run a child in that imports ``mxnet``.

        Args:
            base: the variables to start from.
            visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        """
        return _environment(self.name, self.interpreter, base, visible_devices)


def _environment(
    name: str, interpreter: Interpreter, base: Mapping[str, str], visible_devices: str
) -> dict[str, str]:
    # PyTorch finds NVIDIA's libraries by itself, and those of MXNet are of another CUDA.
    folders = interpreter.libraries if name == MXNET else ()
    environment = child_environment(without_package(base), visible_devices, folders)
    if name == TORCH:
        others = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), *([others] if others else [])])
    return environment


def without_package(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which ``import mxnet`` finds MXNet itself, if anything.

    The lines of ``mfn-patch env`` may have put the other package on the path of a shell.
    """
    cleaned = dict(environment)
    path = cleaned.get("PYTHONPATH")
    if path is not None and str(PACKAGE) in (entries := path.split(os.pathsep)):
        del cleaned["PYTHONPATH"]
        if others := [entry for entry in entries if entry != str(PACKAGE)]:
            cleaned["PYTHONPATH"] = os.pathsep.join(others)
    return cleaned


@dataclass(frozen=True)
class Candidate:
    """An engine, as it was found in an interpreter.

    Attributes:
        name: ``mxnet`` or ``torch``.
        build: distribution and version; empty if it is not installed.
        fault: why it can't compute at all; None if it can.
        cuda: whether it is built for GPUs.
        toolkit: major version of CUDA that it is built for; None if it does not tell.
        gpus: number of GPUs that it sees.
        cards: name and compute capability of the GPUs asked for, as far as they are known.
        architectures: what it holds code for, as `has_code` takes it; empty if not known.
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
        """Whether it is there, be it of use or not."""
        return bool(self.build)

    def runs_on(self, capability: Capability) -> bool:
        """Return whether it has code for a GPU; if it does not tell, it may have."""
        return not self.architectures or has_code(self.architectures, capability)


def choose(
    wanted: str,
    python: str,
    environment: Mapping[str, str],
    visible_devices: str,
    *,
    distributed: bool = False,
) -> Engine:
    """Choose the engine that computes in an interpreter, and try to import it there.

    Args:
        wanted: one of `mfn_patcher.engine.CHOICES`.
        python: path of the training interpreter.
        environment: the variables to start from.
        visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        distributed: whether several hosts train together.

    Raises:
        InterpreterError: The interpreter can't be used, or no engine in it can compute on these
            devices.
    """
    found = interpreters.inspect(python, without_package(environment))
    return Engines(found, environment, visible_devices).choose(wanted, distributed=distributed)


class Engines:
    """The engines of an interpreter; each is looked at once, when its turn comes."""

    def __init__(
        self, interpreter: Interpreter, environment: Mapping[str, str], visible_devices: str
    ) -> None:
        self.interpreter = interpreter
        self._environment = environment
        self._visible_devices = visible_devices
        self._devices = visible_devices.count(",") + 1 if visible_devices else 0
        self._candidates: dict[str, Candidate] = {}

    def look_at(self, name: str) -> Candidate:
        """Return what there is to know of an engine, which is imported for that."""
        if name not in self._candidates:
            look = self._look_at_mxnet if name == MXNET else self._look_at_torch
            self._candidates[name] = look()
        return self._candidates[name]

    def variables(self, name: str) -> dict[str, str]:
        """Return the environment of a child that computes with an engine, usable or not."""
        return _environment(name, self.interpreter, self._environment, self._visible_devices)

    def choose(
        self, wanted: str, *, devices: int | None = None, distributed: bool = False
    ) -> Engine:
        """Choose one.

        Args:
            wanted: one of `mfn_patcher.engine.CHOICES`.
            devices: number of GPUs, 0 for the CPU; by default those that are visible.
            distributed: whether several hosts train together.

        Raises:
            InterpreterError: None can compute on these devices.
        """
        devices = self._devices if devices is None else devices
        if wanted == AUTO and distributed:
            return self._take(MXNET, devices, "several hosts train on MXNet only")
        if wanted != AUTO:
            reason = f"asked for by --engine {wanted}"
            return self._take(wanted, devices, reason, distributed=distributed)
        mxnet = self.look_at(MXNET)
        problem = self.problem(mxnet, devices)
        if problem is None:
            return self._take(MXNET, devices, _ability(mxnet, devices))
        torch = self.look_at(TORCH)
        other = self.problem(torch, devices)
        if other is None:
            return self._take(TORCH, devices, str(problem))
        raise self._neither(mxnet, problem, torch, other)

    def problem(self, candidate: Candidate, devices: int) -> InterpreterError | None:
        """Return why an engine can't compute on a number of GPUs, or None if it can."""
        refused = refusal(candidate.name, devices)
        if refused or candidate.fault or not devices:
            return refused or candidate.fault
        return self._problem_on_gpus(candidate, devices)

    def _take(self, name: str, devices: int, reason: str, *, distributed: bool = False) -> Engine:
        # What is refused in any case needs no look, which takes seconds.
        if refused := refusal(name, devices, distributed=distributed):
            raise refused
        candidate = self.look_at(name)
        if problem := self.problem(candidate, devices):
            raise problem
        return Engine(name, candidate.build, reason, self.interpreter)

    # -- looking ------------------------------------------------------------------------------

    def _look_at_mxnet(self) -> Candidate:
        builds = self._builds("mxnet")
        fault = self._unsuitable_python(MXNET)
        if fault is None and not self.interpreter.mxnet_library:
            fault = InterpreterError(
                f"MXNet is not installed in {self.interpreter.path}",
                remedy=interpreters.remedy("", self.interpreter.path),
            )
        build = ", ".join(f"{name} {version}" for name, version in builds.items())
        if fault:
            return Candidate(MXNET, build, fault)
        environment = self.variables(MXNET)
        cards: tuple[tuple[str, Capability], ...] = ()
        architectures = next((MXNET_WHEELS[name] for name in builds if name in MXNET_WHEELS), ())
        if self._devices and architectures:
            driver = libraries.ask_driver(self.interpreter, environment)
            gpus = driver.gpus[: self._devices] if driver else ()
            cards = tuple((gpu.name, gpu.capability) for gpu in gpus)
        answer = interpreters.try_import(self.interpreter, environment)
        if "error" in answer:
            fault = InterpreterError(
                f"{self.interpreter.path} can't import MXNet: {answer['error']}",
                remedy=interpreters.remedy(answer["error"], self.interpreter.path),
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

    def _look_at_torch(self) -> Candidate:
        version = self.interpreter.versions.get("torch")
        way = f"Install it with `{install('torch', self.interpreter.path)}`."
        fault = self._unsuitable_python(TORCH)
        if fault is None and version is None:
            fault = InterpreterError(
                f"PyTorch is not installed in {self.interpreter.path}",
                remedy=way,
            )
        build = f"torch {version}" if version else ""
        for name, oldest in (("torch", _OLDEST_TORCH), ("numpy", _OLDEST_NUMPY)):
            has = self.interpreter.versions.get(name)
            if fault is None and has and _numbers(has) < oldest:
                needed = ".".join(map(str, oldest))
                fault = InterpreterError(
                    f"{self.interpreter.path} has {name} {has}; the engine on PyTorch needs "
                    f"{needed} or later",
                    remedy=way,
                )
        if fault:
            return Candidate(TORCH, build, fault)
        answer = interpreters.try_import(self.interpreter, self.variables(TORCH))
        found = answer.get("torch")
        if found is None:
            why = answer.get("error", "another package of the name mxnet comes first")
            fault = InterpreterError(
                f"{self.interpreter.path} can't import the engine on PyTorch: {why}",
                remedy=way,
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

    def _builds(self, prefix: str) -> dict[str, str]:
        return {
            name: version
            for name, version in self.interpreter.versions.items()
            if name == prefix or name.startswith(f"{prefix}-")
        }

    def _unsuitable_python(self, name: str) -> InterpreterError | None:
        oldest, newest = _PYTHONS[name]
        if oldest <= _numbers(self.interpreter.python) <= newest:
            return None
        return InterpreterError(
            f"{self.interpreter.path} is Python {self.interpreter.python}; {TITLES[name]} "
            f"trains on Python {_text(oldest)} to {_text(newest)}",
            remedy="Name another interpreter with --python.",
        )

    # -- judging ------------------------------------------------------------------------------

    def _problem_on_gpus(self, candidate: Candidate, devices: int) -> InterpreterError | None:
        wanted = self._wanted(devices)
        if not candidate.cuda:
            other = for_gpus(candidate.name, self.interpreter.path)
            return InterpreterError(
                f"{candidate.build} of {self.interpreter.path} is a CPU build, which uses no "
                f"GPU; {wanted}",
                remedy=f"Train on the CPU with --cpu, or {other}.",
            )
        for name, capability in candidate.cards[:devices]:
            if not candidate.runs_on(capability):
                return InterpreterError(
                    f"{candidate.build} has no code for compute capability {_text(capability)} "
                    f"({name})",
                    remedy="Name another GPU with --gpus, or train on the CPU with --cpu.",
                )
        if candidate.gpus < devices:
            return InterpreterError(
                f"{TITLES[candidate.name]} sees {candidate.gpus} GPUs; {wanted}",
                remedy="Name those that nvidia-smi lists with --gpus, or train on the CPU with "
                "--cpu.",
            )
        return None

    def _wanted(self, devices: int) -> str:
        return f"the run needs {devices} (CUDA_VISIBLE_DEVICES='{self._visible_devices}')"

    def _neither(
        self,
        mxnet: Candidate,
        problem: InterpreterError,
        torch: Candidate,
        other: InterpreterError,
    ) -> InterpreterError:
        python = self.interpreter.path
        if not any(each.cuda or each.fault for each in (mxnet, torch)):
            return InterpreterError(
                f"{mxnet.build} and {torch.build} of {python} are CPU builds, which use no GPU; "
                f"{self._wanted(self._devices)}",
                remedy=f"Train on the CPU with --cpu, {for_gpus(TORCH, python)}, or "
                f"{for_gpus(MXNET, python)}.",
            )
        if mxnet.installed and torch.installed:
            return InterpreterError(
                f"neither engine can compute here:\n  MXNet: {problem}\n  PyTorch: {other}",
                remedy=" ".join(dict.fromkeys([problem.remedy, other.remedy])),
            )
        if mxnet.installed:
            way = f"Or use PyTorch: `{install('torch', python)}`."
            return InterpreterError(str(problem), remedy=f"{problem.remedy} {way}")
        if torch.installed:
            return other
        ways = [f"PyTorch with `{install('torch', python)}`"]
        if self._unsuitable_python(MXNET) is None:
            ways.append(f"MXNet with `{install('cpu', python)}` (for GPUs, with the extra cu112)")
        return InterpreterError(
            f"{python} has no engine: neither MXNet nor PyTorch is installed there",
            remedy=f"Install {', or '.join(ways)}; or name another interpreter with --python.",
        )


def refusal(name: str, devices: int = 1, *, distributed: bool = False) -> InterpreterError | None:
    """Return why an engine is out of the question, installed or not; None if it is not."""
    if name != TORCH or not (distributed or devices > 1):
        return None
    what = "several hosts" if distributed else f"{devices} GPUs"
    return InterpreterError(
        f"the engine on PyTorch trains on one device, not on {what}",
        remedy="Use --engine mxnet, or a single device.",
    )


def for_gpus(name: str, python: str) -> str:
    """Return what brings an engine's build for GPUs, as the end of a sentence."""
    if name == TORCH:
        return "install a build of torch for CUDA"
    return f"uninstall mxnet and install a build for GPUs with `{install('cu112', python)}`"


def _ability(candidate: Candidate, devices: int) -> str:
    if not devices:
        return "it is installed and computes on the CPU"
    if candidate.cards and candidate.architectures:
        capabilities = dict.fromkeys(_text(capability) for _, capability in candidate.cards)
        return f"it is installed and has code for compute capability {', '.join(capabilities)}"
    return "it is installed and sees the GPU"


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _numbers(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
