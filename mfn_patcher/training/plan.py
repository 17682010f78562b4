"""The plan of a stage: the documented command, and each difference with its reason."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mfn_patcher.arguments import value_of
from mfn_patcher.engine.devices import count_gpus
from mfn_patcher.recipes.model import Stage


@dataclass(frozen=True)
class Added:
    """Tokens that the documented command does not have.

    Attributes:
        tokens: the tokens.
        reason: why they are added.
        by_user: whether the user gave them for the script.
    """

    tokens: tuple[str, ...]
    reason: str
    by_user: bool = False


@dataclass(frozen=True)
class Changed:
    """A documented value that is replaced.

    Attributes:
        name: the argument or environment variable.
        documented: its documented value.
        value: its value in this plan.
        reason: why it differs.
    """

    name: str
    documented: str
    value: str
    reason: str


@dataclass(frozen=True)
class Start:
    """The checkpoint that a stage starts from.

    Attributes:
        prefix: path prefix of its files, as the script is given it.
        number: number of the checkpoint.
        stage: number of the stage that saves it; None if the user named the checkpoint.
    """

    prefix: str
    number: int
    stage: int | None


@dataclass(frozen=True)
class Resumption:
    """The run that a stage resumes.

    Attributes:
        run: name of its folder; None if its record is missing.
        checkpoint: number of its last complete checkpoint; None if it has saved none, so that the
            stage starts over.
    """

    run: str | None
    checkpoint: int | None


@dataclass(frozen=True)
class StagePlan:
    """Everything about one run of the script that is known before it starts.

    Attributes:
        recipe: name of the recipe.
        stage: the stage of that recipe.
        script: file name of the script.
        documented: the documented tokens, with changed values in place.
        added: the tokens that follow them.
        changed: the changes in `documented` and in the environment.
        visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        batch_size: images per step, over all devices of all workers.
        steps: number of steps; None without a limit.
        checkpoint_every: steps between checkpoints.
        prefix: path prefix of the checkpoints to save, as the script is given it.
        data_dir: folder of the data set, as the script is given it.
        start: the checkpoint to start from; None for random parameters.
        last_checkpoint: number of the last checkpoint of a complete run; 0 if there is none, None
            if it cannot be known.
        seed: random seed; None if unseeded.
        precision: precision of the network.
        keep: number of recent checkpoints to keep beside the best ones; None keeps all.
        notes: remarks for the user.
        resumption: the run that it resumes; None if it starts from the beginning.
    """

    recipe: str
    stage: Stage
    script: str
    documented: tuple[str, ...]
    added: tuple[Added, ...]
    changed: tuple[Changed, ...]
    visible_devices: str
    batch_size: int
    steps: int | None
    checkpoint_every: int
    prefix: str
    data_dir: str
    start: Start | None
    last_checkpoint: int | None
    seed: int | None
    precision: str
    keep: int | None
    notes: tuple[str, ...]
    resumption: Resumption | None = None

    @property
    def resumed_from(self) -> int | None:
        """Number of its own checkpoint that it resumes from; None if there is none."""
        return self.resumption.checkpoint if self.resumption else None

    @property
    def arguments(self) -> tuple[str, ...]:
        """All tokens after the script's name."""
        return self.documented + tuple(token for added in self.added for token in added.tokens)

    @property
    def has_user_arguments(self) -> bool:
        """Whether the user gave arguments for the script."""
        return any(added.by_user for added in self.added)

    @property
    def devices(self) -> int:
        """Number of GPUs; 0 for the CPU."""
        return count_gpus(self.visible_devices)

    @property
    def targets(self) -> tuple[str, ...] | None:
        """Names of the verification sets that the user chose; None for the script's default."""
        value = self.value("--target")
        return None if value is None else tuple(value.split(","))

    def value(self, option: str) -> str | None:
        """Return the value that the script takes for an argument; None if it is not given."""
        return value_of(self.arguments, option)

    def resume(self, resumption: Resumption) -> StagePlan:
        """Return the plan of the same stage, resumed from what an earlier run has left."""
        if resumption.checkpoint is None:
            return dataclasses.replace(self, resumption=resumption)
        step = resumption.checkpoint * self.checkpoint_every
        run = f"run {resumption.run}" if resumption.run else "a run without a record"
        added = Added(
            ("--resume", str(resumption.checkpoint)),
            f"resumes at step {step}, from the last complete checkpoint of {run}",
        )
        return dataclasses.replace(self, resumption=resumption, added=(*self.added, added))
