"""What the checks of a machine examine, and what they find."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfn_patcher.engine import AUTO
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Finding, Level
from mfn_patcher.runs.code import Code
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.planner import plan_chain

if TYPE_CHECKING:
    from mfn_patcher.children.interpreter import Interpreter
    from mfn_patcher.children.libraries import Driver, Library
    from mfn_patcher.engine.candidates import Candidate
    from mfn_patcher.engine.choice import Engine, Engines
    from mfn_patcher.patching.series import Series
    from mfn_patcher.recipes.model import Recipe
    from mfn_patcher.training.memory import MemoryEstimate
    from mfn_patcher.training.options import Options
    from mfn_patcher.training.plan import StagePlan


@dataclass(frozen=True)
class Request:
    """The training run that a machine is checked for: all stages of a recipe.

    Attributes:
        workspace: the patched clone.
        series: patches that the workspace should have.
        recipe: the recipe.
        options: options of the run.
        python: the training interpreter, as the user names it; None for the one that runs this.
        engine: the requested engine, or `AUTO`.
        environment: environment variables to start from.
    """

    workspace: Path
    series: Series
    recipe: Recipe
    options: Options
    python: str | None = None
    engine: str = AUTO
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


class Examination:
    """A request, and what the checks have found out so far for the checks that follow.

    Args:
        request: the request.

    Attributes:
        request: the request.
        plans: plans of all stages.
        context: where the stages would run, yet without an interpreter.
        patched: whether the workspace has the patches of the series.
        interpreter: the training interpreter; None if it is unusable.
        engines: the engines of that interpreter; None without one.
        engine: the engine that would compute; None if none can.
        candidates: the engines that matter for this request, each with the major version of CUDA
            that it is built for, or None for a CPU build.
        libraries: the libraries that MXNet links; None if MXNet is not used or unreadable.
        driver: what the CUDA driver reports; None if there is none, or no need for one.
        identities: number of identities of the data set; None if unknown.
        estimate: memory and disk space that the run needs; None if unknown.

    Raises:
        PlanError: The options contradict each other.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.plans: tuple[StagePlan, ...] = plan_chain(
            request.recipe, request.recipe.stages, request.options
        )
        self.context = RunContext(request.workspace.resolve(), "", request.environment, Code())
        self.patched = False
        self.interpreter: Interpreter | None = None
        self.engines: Engines | None = None
        self.engine: Engine | None = None
        self.candidates: list[tuple[Candidate, int | None]] = []
        self.libraries: tuple[Library, ...] | None = None
        self.driver: Driver | None = None
        self.identities: int | None = None
        self.estimate: MemoryEstimate | None = None

    @property
    def devices(self) -> int:
        """Number of GPUs that the run uses; 0 for the CPU."""
        return self.plans[0].devices

    @property
    def batch_size(self) -> int:
        """Images per step, over all GPUs."""
        return self.plans[0].batch_size


@dataclass(frozen=True)
class Diagnosis:
    """The result of all checks; see `Examination` for the attributes that both have.

    Attributes:
        findings: the findings, in the order of the checks.
    """

    findings: tuple[Finding, ...]
    engine: Engine | None
    libraries: tuple[Library, ...] | None
    driver: Driver | None
    estimate: MemoryEstimate | None

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(finding.level is not Level.ERROR for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return it as ``docs/schema/doctor.json`` describes it."""
        found, estimate = self.libraries, self.estimate
        return {
            "ok": self.ok,
            "findings": [finding.as_json() for finding in self.findings],
            "engine": self.engine and self.engine.as_json(),
            "libraries": found and [dataclasses.asdict(library) for library in found],
            "driver": self.driver and dataclasses.asdict(self.driver),
            "estimate": estimate
            and {**dataclasses.asdict(estimate), "disk_bytes": estimate.disk_bytes},
        }


def passed(check: str, detail: str, remedy: str = "") -> Finding:
    """Return a finding about something that is as it should be."""
    return Finding(Level.OK, check, detail, remedy)


def warned(check: str, detail: str, remedy: str) -> Finding:
    """Return a finding about something that may be intended."""
    return Finding(Level.WARNING, check, detail, remedy)


def failed(check: str, detail: str, remedy: str) -> Finding:
    """Return a finding about something that keeps training from working."""
    return Finding(Level.ERROR, check, detail, remedy)


def error_finding(check: str, error: MfnPatchError) -> Finding:
    """Return the finding that an error amounts to."""
    return failed(check, str(error), error.remedy)


def as_gib(size: float) -> str:
    """Return a size in bytes as text, in GiB."""
    return f"{size / 2**30:.1f} GiB"
