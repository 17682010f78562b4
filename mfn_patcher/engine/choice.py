"""Which engine computes, and why.

MXNet is chosen where it is installed in the training interpreter and can compute on the requested
devices; otherwise our package of the same name, which computes with PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.children import interpreter as interpreters
from mfn_patcher.children.interpreter import Interpreter, InterpreterError
from mfn_patcher.engine import AUTO, MXNET, TITLES, TORCH
from mfn_patcher.engine.candidates import Candidate, dotted, inspect, unsuitable_python
from mfn_patcher.engine.devices import count_gpus, install_gpu_build, problem_on_gpus
from mfn_patcher.engine.environment import (
    engine_environment,
    keep_compiled,
    packages,
    without_packages,
)
from mfn_patcher.remedies import install


@dataclass(frozen=True)
class Engine:
    """The engine that was chosen for a training interpreter.

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
        """The engine's name with its build, as it is shown to the user."""
        return f"{TITLES[self.name]} ({self.build})"

    @property
    def packages(self) -> tuple[Path, ...]:
        """The folders that Python must search first for packages."""
        return packages(self.name)

    def describe(self) -> str:
        """Return one line that says which engine it is and why it was chosen."""
        return f"{self.title}: {self.reason}"

    def as_json(self) -> dict[str, str]:
        """Return what records and JSON output contain about the engine."""
        return {"name": self.name, "build": self.build, "reason": self.reason}

    def environment(self, base: Mapping[str, str], visible_devices: str) -> dict[str, str]:
        """Return the environment for a child process that imports ``mxnet``.

        Args:
            base: the variables to start from.
            visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        """
        return engine_environment(self.name, self.interpreter, base, visible_devices)

    def training_environment(
        self, base: Mapping[str, str], visible_devices: str, workspace: Path
    ) -> dict[str, str]:
        """Return the environment for a child process that trains in a workspace.

        Args:
            base: the variables to start from.
            visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
            workspace: the workspace; absolute.
        """
        environment = self.environment(base, visible_devices)
        return keep_compiled(environment, workspace) if self.name == TORCH else environment


def choose(
    wanted: str, python: str, environment: Mapping[str, str], visible_devices: str
) -> Engine:
    """Choose the engine that computes in an interpreter, and import it there once.

    Args:
        wanted: one of `mfn_patcher.engine.CHOICES`.
        python: path of the training interpreter.
        environment: the variables to start from.
        visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.

    Raises:
        InterpreterError: The interpreter is unusable, or no engine in it can compute on these
            devices.
    """
    found = interpreters.inspect(python, without_packages(environment), wanted)
    return Engines(found, environment, visible_devices).choose(wanted)


class Engines:
    """The engines of an interpreter; each is inspected at most once, when it is needed."""

    def __init__(
        self, interpreter: Interpreter, environment: Mapping[str, str], visible_devices: str
    ) -> None:
        self.interpreter = interpreter
        self._environment = environment
        self._visible_devices = visible_devices
        self._devices = count_gpus(visible_devices)
        self._candidates: dict[str, Candidate] = {}

    def candidate(self, name: str) -> Candidate:
        """Return what is known about an engine; the first call imports it, which takes seconds."""
        if name not in self._candidates:
            self._candidates[name] = inspect(
                name, self.interpreter, self.environment(name), self._devices
            )
        return self._candidates[name]

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment for a child process that uses an engine, usable or not."""
        return engine_environment(name, self.interpreter, self._environment, self._visible_devices)

    def choose(self, wanted: str, *, devices: int | None = None) -> Engine:
        """Choose an engine.

        Args:
            wanted: one of `mfn_patcher.engine.CHOICES`.
            devices: number of GPUs, 0 for the CPU; by default the visible ones.

        Raises:
            InterpreterError: No engine can compute on these devices.
        """
        devices = self._devices if devices is None else devices
        if wanted != AUTO:
            return self._take(wanted, devices, f"selected by --engine {wanted}")
        mxnet = self.candidate(MXNET)
        problem = self.problem(mxnet, devices)
        if problem is None:
            return self._take(MXNET, devices, self._ability(mxnet, devices))
        torch = self.candidate(TORCH)
        other = self.problem(torch, devices)
        if other is None:
            return self._take(TORCH, devices, str(problem))
        raise self._neither(mxnet, problem, torch, other)

    def _ability(self, candidate: Candidate, devices: int) -> str:
        """Return why MXNet was chosen without being asked for."""
        if not devices:
            ability = "it is installed and computes on the CPU"
            if "torch" in self.interpreter.versions:
                # benchmarks/engine.py: 4.1 to 4.8 times as fast.
                ability += "; PyTorch takes a quarter of the time: --engine torch"
            return ability
        if candidate.cards and candidate.architectures:
            capabilities = dict.fromkeys(dotted(capability) for _, capability in candidate.cards)
            return f"it is installed and has code for compute capability {', '.join(capabilities)}"
        return "it is installed and sees the GPU"

    def problem(self, candidate: Candidate, devices: int) -> InterpreterError | None:
        """Return why a candidate cannot compute on a number of GPUs; None if it can."""
        if candidate.fault or not devices:
            return candidate.fault
        return problem_on_gpus(candidate, self.interpreter.path, devices, self._wanted(devices))

    def _take(self, name: str, devices: int, reason: str) -> Engine:
        candidate = self.candidate(name)
        if problem := self.problem(candidate, devices):
            raise problem
        return Engine(name, candidate.build, reason, self.interpreter)

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
                remedy=f"Compute on the CPU with --cpu, {install_gpu_build(TORCH, python)}, or "
                f"{install_gpu_build(MXNET, python)}.",
            )
        if mxnet.installed and torch.installed:
            return InterpreterError(
                f"neither engine can compute here:\n  MXNet: {problem}\n  PyTorch: {other}",
                remedy=" ".join(dict.fromkeys([problem.remedy, other.remedy])),
            )
        if mxnet.installed:
            alternative = f"Or use PyTorch: `{install('torch', python)}`."
            return InterpreterError(str(problem), remedy=f"{problem.remedy} {alternative}")
        if torch.installed:
            return other
        ways = [f"PyTorch with `{install('torch', python)}`"]
        if unsuitable_python(MXNET, self.interpreter) is None:
            ways.append(f"MXNet with `{install('cpu', python)}` (for GPUs, with the extra cu112)")
        return InterpreterError(
            f"{python} has no engine: neither MXNet nor PyTorch is installed there",
            remedy=f"Install {', or '.join(ways)}; or name another interpreter with --python.",
        )
