"""Where stages run: workspace, interpreter, environment and engine."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher import trainer
from mfn_patcher.children.interpreter import InterpreterError
from mfn_patcher.engine import AUTO
from mfn_patcher.engine.choice import Engine, choose
from mfn_patcher.runs.code import Code
from mfn_patcher.training.plan import StagePlan


@dataclass(frozen=True)
class RunContext:
    """Where stages run.

    Attributes:
        workspace: the patched clone; absolute.
        python: path of the training interpreter.
        environment: the variables to start from.
        code: the code that is trained.
        requested_engine: the engine that the user asks for.
    """

    workspace: Path
    python: str
    environment: Mapping[str, str]
    code: Code
    requested_engine: str = AUTO

    @property
    def source(self) -> Path:
        """The folder of the script, in which it runs."""
        return self.workspace / "src"

    @property
    def runs(self) -> Path:
        """The folder that holds the folders of all runs."""
        return self.workspace / "runs"

    def resolve(self, path: str) -> Path:
        """Return a path of the script's as an absolute one, with links in its folder followed."""
        joined = self.source / path
        return joined.parent.resolve() / joined.name

    def engine(self, plan: StagePlan) -> Engine:
        """Return the engine that trains a stage; the first call for its devices takes seconds.

        Raises:
            InterpreterError: the interpreter cannot train it.
        """
        key = plan.visible_devices
        if key not in self._engines:
            try:
                self._engines[key] = choose(
                    self.requested_engine, self.python, self.environment, plan.visible_devices
                )
            except InterpreterError as error:
                self._engines[key] = error
        found = self._engines[key]
        if isinstance(found, InterpreterError):
            raise found
        return found

    def training_environment(self, engine: Engine, plan: StagePlan) -> dict[str, str]:
        """Return the environment variables of the script that trains a stage with an engine."""
        return engine.training_environment(self.environment, plan.visible_devices, self.workspace)

    def describe_engine(self, plan: StagePlan) -> tuple[str, tuple[Path, ...]]:
        """Return which engine trains a stage, or that there is none, and its `Engine.packages`."""
        try:
            engine = self.engine(plan)
        except InterpreterError as error:
            return f"none: {error}", (trainer.FOLDER,)
        return engine.describe(), engine.packages

    @functools.cached_property
    def _engines(self) -> dict[str, Engine | InterpreterError]:
        return {}
