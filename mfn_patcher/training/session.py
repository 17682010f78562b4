"""A training run as the user asks for it: which stages of which recipe remain, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.children import interpreter
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.printable import counted
from mfn_patcher.recipes import loading
from mfn_patcher.runs.code import Code, read_code
from mfn_patcher.trainer.mfn_trainer.precision import FP32
from mfn_patcher.training.command_line import explain
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.errors import TrainingError
from mfn_patcher.training.options import DEFAULT_SEED, Options
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.planner import plan_chain
from mfn_patcher.training.preflight import find_problems
from mfn_patcher.training.resume import remaining


@dataclass(frozen=True)
class TrainingRequest:
    """What the user asks for.

    Attributes:
        workspace: the patched clone; absolute.
        recipe: name or file of the recipe.
        stages: names or numbers of its stages, separated by commas, or ``all``.
        options: the options of the run.
        python: the training interpreter; None for the one that runs the tool.
        engine: the engine that the user asks for.
        environment: the variables to start from.
    """

    workspace: Path
    recipe: str
    stages: str
    options: Options
    python: str | None
    engine: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Session:
    """Planned stages, and where they run.

    Attributes:
        plans: plans of the stages, in order.
        context: where they run.
    """

    plans: tuple[StagePlan, ...]
    context: RunContext

    def resumed(self) -> Session:
        """Return what remains of it.

        Raises:
            ResumeError: there is no run to resume, or it had other settings.
        """
        return dataclasses.replace(self, plans=remaining(self.plans, self.context))

    def problems(self, *, gate: bool, saves: bool = True) -> list[MfnPatchError]:
        """Return what keeps it from starting, as `find_problems` does."""
        return find_problems(self.plans, self.context, gate=gate, saves=saves) if self.plans else []

    def explain(self) -> list[str]:
        """Return for each stage its command, with the reason for each difference."""
        context = self.context
        return [
            explain(
                dataclasses.replace(plan, notes=(*plan.notes, *self._note_existing(plan))),
                context.source,
                context.python,
                *context.describe_engine(plan),
            )
            for plan in self.plans
        ]

    def _note_existing(self, plan: StagePlan) -> list[str]:
        """Say what a run would do with the checkpoints that are where it saves."""
        prefix = self.context.resolve(plan.prefix)
        existing = checkpoints.find(prefix)
        if plan.resumed_from is not None or not existing:
            return []
        count = counted(len(existing), "existing checkpoint", "existing checkpoints")
        return [f"{count} of {prefix} will first be moved aside; --resume continues a run instead"]


def prepare(request: TrainingRequest, *, resume: bool) -> Session:
    """Plan the stages that a user asks for, as if none of them had been trained.

    Args:
        request: what the user asks for.
        resume: whether the stages are to be resumed, which requires patches.

    Raises:
        TrainingError: the options need patches that are not applied.
        PlanError: the options are invalid, or a stage would have nothing to start from.
        RecipeError: there is no such recipe or stage.
        InterpreterError: there is no such interpreter.
    """
    code = read_code(request.workspace)
    _check_stacks(request, code, resume=resume)
    options = request.options
    if code.has_hooks and options.seed is None:
        options = dataclasses.replace(options, seed=DEFAULT_SEED)
    recipe = loading.load(request.recipe)
    plans = plan_chain(recipe, recipe.choose(request.stages), options)
    python = interpreter.find(request.python)
    engine = options.choose_engine(request.engine)
    context = RunContext(request.workspace, python, request.environment, code, engine)
    return Session(plans, context)


def _check_stacks(request: TrainingRequest, code: Code, *, resume: bool) -> None:
    options = request.options
    asked = resume or options.keep or options.seed is not None or options.workers is not None
    asked = asked or options.precision != FP32
    if asked and not code.has_hooks:
        raise TrainingError(
            "--resume, --seed, --precision, --keep, --cluster and --hosts require stack hooks, "
            f"which is not applied in {request.workspace}",
            remedy="Run `mfn-patch apply`.",
        )
