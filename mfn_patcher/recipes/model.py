"""The records that make up a recipe: its stages, and what is expected of the patched code.

Only a recipe knows the value of a training argument; all other code asks it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mfn_patcher.arguments import value_of
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.suggestion import did_you_mean

SCRIPT_CHECKPOINT_EVERY = 2000
"""Steps between checkpoints if the script's ``--verbose`` is not given."""


class RecipeError(MfnPatchError):
    """A recipe is invalid, or a stage that was asked for does not exist."""


@dataclass(frozen=True)
class StageCheckpoint:
    """A checkpoint that a stage saves and a later stage starts from.

    Attributes:
        stage: number of the stage that saves it.
        step: training step after which it is saved.
    """

    stage: int
    step: int


@dataclass(frozen=True)
class Stage:
    """One training run of a recipe.

    Attributes:
        number: number of the stage in the recipe's source.
        name: short name, such as the loss it trains with.
        arguments: the documented tokens after the script's name: option, value, option, ….
        steps: number of training steps.
        steps_reason: where `steps` comes from.
        late_lr_steps: why some learning-rate steps lie after the end of the stage; None if none do.
        starts_from: the checkpoint it starts from; None to start from random parameters.
    """

    number: int
    name: str
    arguments: tuple[str, ...]
    steps: int
    steps_reason: str = "the recipe's number of steps"
    late_lr_steps: str | None = None
    starts_from: StageCheckpoint | None = None

    @property
    def title(self) -> str:
        """The stage as it is shown to the user: ``stage 2 (softmax)``."""
        return f"stage {self.number} ({self.name})"

    @property
    def saves_all(self) -> bool:
        """Whether it saves a checkpoint at every verification, not only at the good ones."""
        return int(self.value("--ckpt") or 1) > 1

    def value(self, option: str) -> str | None:
        """Return the documented value of `option`; None if the recipe does not give it."""
        return value_of(self.arguments, option)


@dataclass(frozen=True)
class Expectations:
    """What the patched code must make of the documented arguments.

    Attributes:
        wd_multiplied: the parameters whose weight decay is multiplied; no others are.
        absent_arguments: names that must not be among the symbol's arguments.
        initializer: the random distribution, ``uniform`` or ``gaussian``, by network.
    """

    wd_multiplied: tuple[str, ...]
    absent_arguments: tuple[str, ...]
    initializer: Mapping[str, str]


@dataclass(frozen=True)
class Recipe:
    """The stages of a training run, and the settings that they share.

    Attributes:
        name: name of the recipe.
        summary: one-line description.
        script: file name of the training script in upstream's ``src``.
        batch_size: images per step over all devices, which the step counts are meant for.
        checkpoint_every: steps from one checkpoint to the next.
        cuda_visible_devices: the documented value of ``CUDA_VISIBLE_DEVICES``.
        stages: the stages, in training order.
        source: address of the recipe's documentation; None if it has none.
        expect: what the patched code must make of the arguments; None if the recipe does not say.
    """

    name: str
    summary: str
    script: str
    batch_size: int
    checkpoint_every: int
    cuda_visible_devices: str
    stages: tuple[Stage, ...]
    source: str | None = None
    expect: Expectations | None = None

    def stage(self, which: str | int) -> Stage:
        """Return the stage with a given number or name.

        Raises:
            RecipeError: There is no such stage.
        """
        for stage in self.stages:
            if str(which).strip() in (str(stage.number), stage.name):
                return stage
        known = ", ".join(f"{stage.number} ({stage.name})" for stage in self.stages)
        raise RecipeError(
            f"recipe {self.name} has no stage {which!r}",
            remedy=did_you_mean(str(which).strip(), [*(stage.name for stage in self.stages), "all"])
            or f"Its stages are {known}.",
        )

    def choose(self, text: str) -> tuple[Stage, ...]:
        """Return the stages that `text` names: ``all``, or numbers and names such as ``2,arcface``.

        Raises:
            RecipeError: A stage does not exist, or the stages are out of order.
        """
        if text.strip() == "all":
            return self.stages
        chosen = tuple(self.stage(part) for part in text.split(","))
        numbers = [stage.number for stage in chosen]
        if numbers != sorted(set(numbers)):
            raise RecipeError(
                f"the stages {text!r} are out of order or repeated",
                remedy="Name each stage once, in order: a stage starts from what an earlier one "
                "saves.",
            )
        return chosen

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as ``docs/schema/recipe.json`` describes it."""
        return dataclasses.asdict(self)
