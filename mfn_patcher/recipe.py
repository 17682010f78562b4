"""Recipes: the stages of a training, read from TOML.

Only a recipe knows the value of an argument; code asks it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_patcher.errors import MfnPatchError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent / "recipes"

# The options that code has to find in every stage.
_NEEDED = ("--lr-steps", "--per-batch-size", "--data-dir", "--prefix")


class RecipeError(MfnPatchError):
    """A recipe, or a choice of its stages, makes no sense."""


@dataclass(frozen=True)
class Feed:
    """Where the parameters that a stage starts from come from.

    Attributes:
        stage: Number of the stage that saves them.
        step: The step of that stage at which it does.
    """

    stage: int
    step: int


@dataclass(frozen=True)
class Stage:
    """One training run of a recipe.

    Attributes:
        number: As the document counts.
        name: Of what it trains with.
        arguments: The documented tokens after the script's name: option, value, option, ….
        steps: After how many steps it ends.
        steps_reason: Where `steps` comes from.
        starts_from: The checkpoint that it starts from; None for random parameters.
    """

    number: int
    name: str
    arguments: tuple[str, ...]
    steps: int
    steps_reason: str
    starts_from: Feed | None = None

    @property
    def title(self) -> str:
        """What to call it: ``stage 2 (softmax)``."""
        return f"stage {self.number} ({self.name})"

    def value(self, option: str) -> str | None:
        """Return the documented value of `option`; None if the document does not give it."""
        if option not in self.arguments:
            return None
        return self.arguments[self.arguments.index(option) + 1]


@dataclass(frozen=True)
class Expectations:
    """What the patched code must make of the documented arguments.

    Attributes:
        wd_multiplied: Parameters whose weight decay is multiplied; no others are.
        absent_arguments: Names that the symbol must not have among its arguments.
        initializer: The kind of random distribution, ``uniform`` or ``gaussian``, by network.
    """

    wd_multiplied: tuple[str, ...]
    absent_arguments: tuple[str, ...]
    initializer: Mapping[str, str]


@dataclass(frozen=True)
class Recipe:
    """All stages, and what they share.

    Attributes:
        name: Of the recipe.
        script: File name of the training script, in upstream's ``src``.
        batch_size: Images a step, over all devices, that the step counts are meant for.
        verbose: Steps from one checkpoint to the next.
        cuda_visible_devices: The documented value of the environment variable.
        stages: In the order of training.
        expect: What the patched code must make of it.
    """

    name: str
    script: str
    batch_size: int
    verbose: int
    cuda_visible_devices: str
    stages: tuple[Stage, ...]
    expect: Expectations

    def stage(self, which: str | int) -> Stage:
        """Return the stage of a number or a name.

        Raises:
            RecipeError: There is none.
        """
        for stage in self.stages:
            if str(which).strip() in (str(stage.number), stage.name):
                return stage
        known = ", ".join(f"{stage.number} ({stage.name})" for stage in self.stages)
        raise RecipeError(f"there is no stage {which!r}", remedy=f"The stages are {known}.")

    def choose(self, text: str) -> tuple[Stage, ...]:
        """Return the stages that `text` names: ``all``, or numbers and names such as ``2,arcface``.

        Raises:
            RecipeError: There is no such stage, or they are out of order.
        """
        if text.strip() == "all":
            return self.stages
        chosen = tuple(self.stage(part) for part in text.split(","))
        numbers = [stage.number for stage in chosen]
        if numbers != sorted(set(numbers)):
            raise RecipeError(
                f"the stages {text!r} are out of order or repeated",
                remedy="Name each once, in order: a stage starts from what an earlier one saves.",
            )
        return chosen


def load(name: str = "mobilefacenet") -> Recipe:
    """Return a recipe that comes with the tool.

    Raises:
        RecipeError: It is not valid.
    """
    path = _FOLDER / f"{name}.toml"
    return parse(path.read_text(encoding="utf-8"), path.name)


def parse(text: str, source: str) -> Recipe:
    """Return the recipe that `text` holds.

    Args:
        text: TOML.
        source: What to call it in errors.

    Raises:
        RecipeError: It is not TOML, has unknown or missing keys, or contradicts itself.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source}: not TOML: {error}") from error
    _check_keys(
        table,
        source,
        name=str,
        script=str,
        batch_size=int,
        verbose=int,
        cuda_visible_devices=str,
        stages=list,
        expect=dict,
    )
    stages: list[Stage] = []
    for entry in table["stages"]:
        stage = _stage(entry, f"{source}: stage {len(stages) + 1} of the file")
        _check_stage(stage, stages, table["verbose"], f"{source}: {stage.title}")
        stages.append(stage)
    table["stages"] = tuple(stages)
    table["expect"] = _expectations(table["expect"], f"{source}: expect")
    return Recipe(**table)


def _stage(table: dict[str, Any], where: str) -> Stage:
    optional = {"starts_from": dict} if "starts_from" in table else {}
    _check_keys(
        table, where, number=int, name=str, arguments=list, steps=int, steps_reason=str, **optional
    )
    table["arguments"] = _strings(table["arguments"], f"{where}: arguments")
    if optional:
        _check_keys(table["starts_from"], f"{where}: starts_from", stage=int, step=int)
        table["starts_from"] = Feed(**table["starts_from"])
    return Stage(**table)


def _expectations(table: dict[str, Any], where: str) -> Expectations:
    _check_keys(table, where, wd_multiplied=list, absent_arguments=list, initializer=dict)
    _strings(list(table["initializer"].values()), f"{where}: initializer")
    return Expectations(
        _strings(table["wd_multiplied"], f"{where}: wd_multiplied"),
        _strings(table["absent_arguments"], f"{where}: absent_arguments"),
        table["initializer"],
    )


def _check_keys(table: Mapping[str, Any], where: str, **kinds: type) -> None:
    for key in table:
        if key not in kinds:
            raise RecipeError(f"{where}: unknown key {key!r}", remedy=f"Known: {', '.join(kinds)}.")
    for key, kind in kinds.items():
        if key not in table:
            raise RecipeError(f"{where}: {key!r} is missing")
        if type(table[key]) is not kind:
            raise RecipeError(f"{where}: {key!r} is no {kind.__name__}: {table[key]!r}")
        if kind is int and table[key] < 1:
            raise RecipeError(f"{where}: {key!r} is less than 1: {table[key]}")


def _strings(values: list[Any], where: str) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise RecipeError(f"{where}: not a string: {value!r}")
    return tuple(values)


def _check_stage(stage: Stage, earlier: list[Stage], verbose: int, where: str) -> None:
    options, values = stage.arguments[::2], stage.arguments[1::2]
    if len(options) != len(values) or not all(option.startswith("--") for option in options):
        raise RecipeError(f"{where}: arguments are not pairs of an option and its value")
    for option in _NEEDED:
        if option not in options:
            raise RecipeError(f"{where}: arguments lack {option}")
    for other in earlier:
        if stage.number <= other.number or stage.name == other.name:
            raise RecipeError(f"{where}: comes after {other.title}")
    _check_lr_steps(stage, where)
    _check_feed(stage, earlier, verbose, where)


def _check_lr_steps(stage: Stage, where: str) -> None:
    # Steps after the end are right: the document's softmax stage ends before its first.
    text = str(stage.value("--lr-steps")).split(",")
    if not all(step.isdecimal() for step in text):
        raise RecipeError(f"{where}: --lr-steps are not whole numbers: {','.join(text)}")
    steps = [int(step) for step in text]
    if steps != sorted(set(steps)):
        raise RecipeError(f"{where}: --lr-steps do not rise: {','.join(text)}")


def _check_feed(stage: Stage, earlier: list[Stage], verbose: int, where: str) -> None:
    feed, pretrained = stage.starts_from, stage.value("--pretrained")
    if feed is None:
        if pretrained is not None:
            raise RecipeError(f"{where}: has --pretrained, but no starts_from")
        return
    source = next((other for other in earlier if other.number == feed.stage), None)
    if source is None:
        raise RecipeError(f"{where}: starts from stage {feed.stage}, which no earlier stage is")
    if feed.step > source.steps:
        raise RecipeError(
            f"{where}: starts from step {feed.step} of {source.title}, which ends at {source.steps}"
        )
    expected = f"{source.value('--prefix')},{feed.step // verbose}"
    if pretrained != expected:
        raise RecipeError(f"{where}: --pretrained is {pretrained}, but starts_from is {expected}")
