"""Whether the arguments of a stage fit the script, the recipe's own keys, and earlier stages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mfn_patcher.recipes.model import Recipe, RecipeError, Stage

# The options that the tool reads from every stage.
_REQUIRED = ("--network", "--loss-type", "--lr-steps", "--per-batch-size", "--data-dir", "--prefix")
_CHECKPOINT = re.compile(r"[^,]+,[0-9]+")
_OPTION = re.compile(r"-(?![\d.])")  # a hyphen that does not begin a negative number


def check_stage(stage: Stage, earlier: Sequence[Stage], recipe: Recipe, where: str) -> None:
    """Check one stage of a recipe.

    Args:
        stage: the stage.
        earlier: the stages before it, which have been checked.
        recipe: the settings that all stages share; its own stages are not read.
        where: where the stage stands, for errors.

    Raises:
        RecipeError: The stage contradicts itself, the recipe or an earlier stage.
    """
    _check_arguments(stage, where)
    _check_order(stage, earlier, where)
    _check_counts(stage, recipe, where)
    _check_lr_steps(stage, where)
    _check_start(stage, earlier, recipe.checkpoint_every, where)


def _check_arguments(stage: Stage, where: str) -> None:
    options, values = stage.arguments[::2], stage.arguments[1::2]
    if len(options) != len(values) or not all(option.startswith("--") for option in options):
        raise RecipeError(f"{where}: the arguments are not pairs of an option and its value")
    for option, value in zip(options, values):
        if _OPTION.match(value):
            raise RecipeError(
                f"{where}: the script would read {value!r}, the value of {option}, as an option"
            )
    for option in _REQUIRED:
        if option not in options:
            raise RecipeError(f"{where}: the arguments lack {option}")
    for option in options:
        if options.count(option) > 1:
            raise RecipeError(f"{where}: the arguments have {option} twice")
    for option in ("--data-dir", "--prefix"):
        if "," in str(stage.value(option)):
            raise RecipeError(f"{where}: {option} contains a comma, at which the script splits it")


def _check_order(stage: Stage, earlier: Sequence[Stage], where: str) -> None:
    for other in earlier:
        if stage.number <= other.number or stage.name == other.name:
            raise RecipeError(
                f"{where}: follows {other.title}",
                remedy="Stage numbers must increase, and every stage needs a name of its own.",
            )


def _check_counts(stage: Stage, recipe: Recipe, where: str) -> None:
    """Check that arguments agree with the keys that also determine them."""
    devices = len(recipe.cuda_visible_devices.split(","))
    each, rest = divmod(recipe.batch_size, devices)
    if rest:
        raise RecipeError(
            f"{where}: a batch_size of {recipe.batch_size} cannot be split evenly over "
            f"{devices} GPUs"
        )
    for option, count, key in (
        ("--per-batch-size", each, "batch_size and cuda_visible_devices"),
        ("--max-steps", stage.steps, "steps"),
        ("--verbose", recipe.checkpoint_every, "checkpoint_every"),
    ):
        if stage.value(option) not in (None, str(count)):
            raise RecipeError(
                f"{where}: {option} is {stage.value(option)}, but {key} makes it {count}"
            )
    ckpt = stage.value("--ckpt")
    if ckpt is not None and not ckpt.isdecimal():
        raise RecipeError(f"{where}: --ckpt must be an integer, got {ckpt!r}")


def _check_lr_steps(stage: Stage, where: str) -> None:
    text = str(stage.value("--lr-steps"))
    parts = text.split(",")
    if not all(step.isdecimal() for step in parts):
        raise RecipeError(f"{where}: --lr-steps must be integers, got {text!r}")
    steps = [int(step) for step in parts]
    if steps != sorted(set(steps)):
        raise RecipeError(f"{where}: --lr-steps must increase, got {text!r}")
    late = [step for step in steps if step > stage.steps]
    if late and stage.late_lr_steps is None:
        raise RecipeError(
            f"{where}: ends after {stage.steps} steps, before its learning-rate step {late[0]}",
            remedy='If that is intended, say why: late_lr_steps = "...".',
        )


def _check_start(stage: Stage, earlier: Sequence[Stage], checkpoint_every: int, where: str) -> None:
    start, pretrained = stage.starts_from, stage.value("--pretrained")
    if start is None:
        _check_pretrained(pretrained, earlier, where)
        return
    source = next((other for other in earlier if other.number == start.stage), None)
    if source is None:
        raise RecipeError(
            f"{where}: starts from stage {start.stage}, which is not an earlier stage"
        )
    if not source.saves_all:
        raise RecipeError(
            f"{where}: starts from {source.title}, which does not save all of its checkpoints",
            remedy=f"Give {source.title} the arguments --ckpt 2.",
        )
    origin = f"{where}: starts from step {start.step} of {source.title}"
    if start.step > source.steps:
        raise RecipeError(f"{origin}, which ends at step {source.steps}")
    if start.step % checkpoint_every:
        raise RecipeError(f"{origin}, which saves a checkpoint every {checkpoint_every} steps")
    expected = f"{source.value('--prefix')},{start.step // checkpoint_every}"
    if pretrained != expected:
        raise RecipeError(
            f"{where}: --pretrained is {pretrained}, but starts_from makes it {expected}"
        )


def _check_pretrained(pretrained: str | None, earlier: Sequence[Stage], where: str) -> None:
    """Check the checkpoint of another run that a stage starts from by default."""
    if pretrained is None:
        return
    if not _CHECKPOINT.fullmatch(pretrained):
        raise RecipeError(
            f"{where}: --pretrained must be a prefix, a comma and a number, got {pretrained!r}"
        )
    for other in earlier:
        if pretrained.partition(",")[0] == other.value("--prefix"):
            raise RecipeError(
                f"{where}: --pretrained is a checkpoint of {other.title}, but there is no "
                "starts_from"
            )
