"""Recipes: the stages of a training, read from TOML.

Only a recipe knows the value of an argument; code asks it. ``docs/recipes.md`` describes the
format for those who write their own.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_patcher import files
from mfn_patcher.encoding import decode
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.recipes import DEFAULT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent / "builtin"

# The options that code has to find in every stage.
_NEEDED = ("--network", "--loss-type", "--lr-steps", "--per-batch-size", "--data-dir", "--prefix")

# Names become parts of file names, and of lists with commas.
_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
# Python would take a name that begins with a hyphen for an option of its own, even for code.
_SCRIPT = re.compile(r"\w[\w.-]*")
_OPTION = re.compile(r"-(?![\d.])")  # and not a negative number
_KINDS = {int: "whole number", str: "string", list: "array", dict: "table"}


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
        number: As the source of the recipe counts.
        name: Of what it trains with.
        arguments: The documented tokens after the script's name: option, value, option, ….
        steps: After how many steps it ends.
        steps_reason: Where `steps` comes from.
        late_lr_steps: Why there are learning-rate steps after the end; None if there are none.
        starts_from: The checkpoint that it starts from; None for random parameters.
    """

    number: int
    name: str
    arguments: tuple[str, ...]
    steps: int
    steps_reason: str = "the recipe's number of steps"
    late_lr_steps: str | None = None
    starts_from: Feed | None = None

    @property
    def title(self) -> str:
        """What to call it: ``stage 2 (softmax)``."""
        return f"stage {self.number} ({self.name})"

    @property
    def saves_all(self) -> bool:
        """Whether it saves at every verification, not just what the script finds good."""
        return int(self.value("--ckpt") or 1) > 1

    def value(self, option: str) -> str | None:
        """Return the documented value of `option`; None if the recipe does not give it."""
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
        summary: What it is, in a line.
        script: File name of the training script, in upstream's ``src``.
        batch_size: Images a step, over all devices, that the step counts are meant for.
        verbose: Steps from one checkpoint to the next.
        cuda_visible_devices: The documented value of the environment variable.
        stages: In the order of training.
        source: Where it is documented; None if it does not say.
        expect: What the patched code must make of it; None if it does not say.
    """

    name: str
    summary: str
    script: str
    batch_size: int
    verbose: int
    cuda_visible_devices: str
    stages: tuple[Stage, ...]
    source: str | None = None
    expect: Expectations | None = None

    def stage(self, which: str | int) -> Stage:
        """Return the stage of a number or a name.

        Raises:
            RecipeError: There is none.
        """
        for stage in self.stages:
            if str(which).strip() in (str(stage.number), stage.name):
                return stage
        known = ", ".join(f"{stage.number} ({stage.name})" for stage in self.stages)
        raise RecipeError(
            f"recipe {self.name} has no stage {which!r}", remedy=f"Its stages are {known}."
        )

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

    def as_json(self) -> dict[str, Any]:
        """Return it as ``docs/schema/recipe.json`` describes it."""
        return dataclasses.asdict(self)


def names() -> list[str]:
    """Return the names of the recipes that come with the tool, the default first."""
    return sorted((path.stem for path in _FOLDER.glob("*.toml")), key=lambda n: (n != DEFAULT, n))


def read_text(which: str) -> tuple[str, str]:
    """Return a recipe's TOML, and what to call it in errors.

    Args:
        which: The name of a recipe that comes with the tool; else the path of a file.

    Raises:
        RecipeError: There is neither, or the file can't be read.
    """
    known = which in names()
    path = _FOLDER / f"{which}.toml" if known else Path(which)
    try:
        return decode(files.read(path)), path.name if known else which
    except FileNotFoundError:
        reason = "there is no such file"
    except IsADirectoryError:
        reason = "that is a directory"
    except UnicodeDecodeError as error:
        reason = f"that file is not {error.encoding.upper()} text, from byte {error.start} on"
    except OSError as error:
        reason = f"that file can't be read: {error.strerror}"
    raise RecipeError(
        f"there is no recipe {which!r}: it is none of the tool's own, and {reason}",
        remedy=f"The tool's own are {', '.join(names())}; a file of yours is named by its path.",
    )


def load(which: str = DEFAULT) -> Recipe:
    """Return a recipe that comes with the tool, or that of a file.

    Args:
        which: Name or path, as `read_text` takes it.

    Raises:
        RecipeError: There is none, or it is not valid.
    """
    text, source = read_text(which)
    recipe = parse(text, source)
    if which not in names() and recipe.name in names():
        raise RecipeError(
            f"{source}: {recipe.name!r} is the name of a recipe that comes with the tool",
            remedy="Give yours another `name`: the records of runs tell recipes apart by it.",
        )
    return recipe


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
        needed={
            "name": str,
            "summary": str,
            "script": str,
            "batch_size": int,
            "verbose": int,
            "cuda_visible_devices": str,
            "stages": list,
        },
        optional={"source": str, "expect": dict},
    )
    _check_name(table["name"], source)
    if not _SCRIPT.fullmatch(table["script"]):
        raise RecipeError(f"{source}: 'script' is not the name of a file in src: {table['script']}")
    if not table["stages"]:
        raise RecipeError(f"{source}: there are no stages")
    stages: list[Stage] = []
    for entry in table["stages"]:
        stage = _stage(entry, f"{source}: stage {len(stages) + 1} of the file")
        _check_stage(stage, stages, table, f"{source}: {stage.title}")
        stages.append(stage)
    table["stages"] = tuple(stages)
    if "expect" in table:
        table["expect"] = _expectations(table["expect"], f"{source}: expect")
    return Recipe(**table)


def _stage(table: Any, where: str) -> Stage:
    _check_keys(
        table,
        where,
        needed={"number": int, "name": str, "arguments": list, "steps": int},
        optional={"steps_reason": str, "late_lr_steps": str, "starts_from": dict},
    )
    _check_name(table["name"], where)
    if table["name"] == "all" or table["name"].isdecimal():
        raise RecipeError(f"{where}: 'name' is {table['name']!r}, by which --stage means others")
    table["arguments"] = _strings(table["arguments"], f"{where}: arguments")
    if "starts_from" in table:
        needed = {"stage": int, "step": int}
        _check_keys(table["starts_from"], f"{where}: starts_from", needed)
        table["starts_from"] = Feed(**table["starts_from"])
    return Stage(**table)


def _expectations(table: dict[str, Any], where: str) -> Expectations:
    needed = {"wd_multiplied": list, "absent_arguments": list, "initializer": dict}
    _check_keys(table, where, needed)
    _strings(list(table["initializer"].values()), f"{where}: initializer")
    return Expectations(
        _strings(table["wd_multiplied"], f"{where}: wd_multiplied"),
        _strings(table["absent_arguments"], f"{where}: absent_arguments"),
        table["initializer"],
    )


def _check_keys(
    table: Any, where: str, needed: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> None:
    if not isinstance(table, dict):
        raise RecipeError(f"{where}: is no table: {table!r}")
    kinds = {**needed, **(optional or {})}
    for key in table:
        if key not in kinds:
            raise RecipeError(f"{where}: unknown key {key!r}", remedy=f"Known: {', '.join(kinds)}.")
    for key, kind in kinds.items():
        if key not in table:
            if key in needed:
                raise RecipeError(f"{where}: {key!r} is missing")
            continue
        if type(table[key]) is not kind:
            raise RecipeError(f"{where}: {key!r} is no {_KINDS[kind]}: {table[key]!r}")
        if kind is int and table[key] < 1:
            raise RecipeError(f"{where}: {key!r} is less than 1: {table[key]}")


def _strings(values: list[Any], where: str) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise RecipeError(f"{where}: not a string: {value!r}")
    return tuple(values)


def _check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        raise RecipeError(
            f"{where}: 'name' is {name!r}",
            remedy="Lower-case letters, digits, and single hyphens or underscores in between.",
        )


def _check_stage(stage: Stage, earlier: list[Stage], recipe: Mapping[str, Any], where: str) -> None:
    options, values = stage.arguments[::2], stage.arguments[1::2]
    if len(options) != len(values) or not all(option.startswith("--") for option in options):
        raise RecipeError(f"{where}: arguments are not pairs of an option and its value")
    for option, value in zip(options, values):
        if _OPTION.match(value):
            raise RecipeError(
                f"{where}: the script would take {value!r}, for {option}, as an option"
            )
    for option in _NEEDED:
        if option not in options:
            raise RecipeError(f"{where}: arguments lack {option}")
    for option in options:
        if options.count(option) > 1:
            raise RecipeError(f"{where}: arguments have {option} twice")
    for option in ("--data-dir", "--prefix"):
        if "," in str(stage.value(option)):
            raise RecipeError(f"{where}: {option} has a comma, at which the script splits")
    for other in earlier:
        if stage.number <= other.number or stage.name == other.name:
            raise RecipeError(
                f"{where}: comes after {other.title}",
                remedy="Numbers must rise from stage to stage, and no name stand twice.",
            )
    _check_counts(stage, recipe, where)
    _check_lr_steps(stage, where)
    _check_feed(stage, earlier, recipe["verbose"], where)


def _check_counts(stage: Stage, recipe: Mapping[str, Any], where: str) -> None:
    """Refuse arguments that say otherwise than the keys that stand for them."""
    devices = len(recipe["cuda_visible_devices"].split(","))
    each, rest = divmod(recipe["batch_size"], devices)
    if rest:
        raise RecipeError(
            f"{where}: a 'batch_size' of {recipe['batch_size']} can't be split evenly over "
            f"{devices} GPUs"
        )
    for option, count, key in (
        ("--per-batch-size", each, "batch_size and cuda_visible_devices"),
        ("--max-steps", stage.steps, "steps"),
        ("--verbose", recipe["verbose"], "verbose"),
    ):
        if stage.value(option) not in (None, str(count)):
            raise RecipeError(
                f"{where}: {option} is {stage.value(option)}, but by {key} it is {count}"
            )
    ckpt = stage.value("--ckpt")
    if ckpt is not None and not ckpt.isdecimal():
        raise RecipeError(f"{where}: --ckpt is no whole number: {ckpt}")


def _check_lr_steps(stage: Stage, where: str) -> None:
    text = str(stage.value("--lr-steps")).split(",")
    if not all(step.isdecimal() for step in text):
        raise RecipeError(f"{where}: --lr-steps are not whole numbers: {','.join(text)}")
    steps = [int(step) for step in text]
    if steps != sorted(set(steps)):
        raise RecipeError(f"{where}: --lr-steps do not rise: {','.join(text)}")
    late = [step for step in steps if step > stage.steps]
    if late and stage.late_lr_steps is None:
        raise RecipeError(
            f"{where}: ends after {stage.steps} steps, before its lr step {late[0]}",
            remedy='If that is meant, say why: late_lr_steps = "...".',
        )


def _check_feed(stage: Stage, earlier: list[Stage], verbose: int, where: str) -> None:
    feed, pretrained = stage.starts_from, stage.value("--pretrained")
    if feed is None:
        if pretrained is not None:
            raise RecipeError(f"{where}: has --pretrained, but no starts_from")
        return
    source = next((other for other in earlier if other.number == feed.stage), None)
    if source is None:
        raise RecipeError(f"{where}: starts from stage {feed.stage}, which no earlier stage is")
    if not source.saves_all:
        raise RecipeError(
            f"{where}: starts from {source.title}, which does not save all of its checkpoints",
            remedy=f"Give {source.title} the arguments --ckpt 2.",
        )
    if feed.step > source.steps:
        raise RecipeError(
            f"{where}: starts from step {feed.step} of {source.title}, which ends at {source.steps}"
        )
    if feed.step % verbose:
        raise RecipeError(
            f"{where}: starts from step {feed.step} of {source.title}, which saves every {verbose}"
        )
    expected = f"{source.value('--prefix')},{feed.step // verbose}"
    if pretrained != expected:
        raise RecipeError(f"{where}: --pretrained is {pretrained}, but starts_from is {expected}")
