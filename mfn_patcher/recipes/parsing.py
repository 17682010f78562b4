"""Parsing a recipe from TOML text: which keys exist, and the type of each value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mfn_patcher.recipes.model import Expectations, Recipe, RecipeError, Stage, StageCheckpoint
from mfn_patcher.recipes.validation import check_stage
from mfn_patcher.suggestion import did_you_mean
from mfn_patcher.toml import tomllib

# Names become parts of file names and of comma-separated lists.
_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
# Python would read a script name that starts with a hyphen as one of its own options, even as -c.
_SCRIPT = re.compile(r"\w[\w.-]*")
_TYPES = {int: "an integer", str: "a string", list: "an array", dict: "a table"}


def parse(text: str, source: str) -> Recipe:
    """Return the recipe in a TOML text.

    Args:
        text: the TOML text.
        source: name that errors call it by.

    Raises:
        RecipeError: The text is not TOML, has unknown or missing keys, or contradicts itself.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source}: invalid TOML: {error}") from error
    _check_keys(
        table,
        source,
        required={
            "name": str,
            "summary": str,
            "script": str,
            "batch_size": int,
            "checkpoint_every": int,
            "cuda_visible_devices": str,
            "stages": list,
        },
        optional={"source": str, "expect": dict},
    )
    _check_name(table["name"], source)
    if not _SCRIPT.fullmatch(table["script"]):
        raise RecipeError(f"{source}: 'script' must name a file in src, got {table['script']!r}")
    if not table["stages"]:
        raise RecipeError(f"{source}: there are no stages")
    entries = table["stages"]
    if "expect" in table:
        table["expect"] = _parse_expectations(table["expect"], f"{source}: expect")
    recipe = Recipe(**{**table, "stages": ()})
    stages: list[Stage] = []
    for position, entry in enumerate(entries, start=1):
        stage = _parse_stage(entry, f"{source}: stage {position} of the file")
        check_stage(stage, stages, recipe, f"{source}: {stage.title}")
        stages.append(stage)
    return Recipe(**{**table, "stages": tuple(stages)})


def _parse_stage(table: Any, where: str) -> Stage:
    _check_keys(
        table,
        where,
        required={"number": int, "name": str, "arguments": list, "steps": int},
        optional={"steps_reason": str, "late_lr_steps": str, "starts_from": dict},
    )
    _check_name(table["name"], where)
    if table["name"] == "all" or table["name"].isdecimal():
        raise RecipeError(
            f"{where}: 'name' must not be {table['name']!r}, which means something else to --stage"
        )
    table["arguments"] = _strings(table["arguments"], f"{where}: arguments")
    if "starts_from" in table:
        required = {"stage": int, "step": int}
        _check_keys(table["starts_from"], f"{where}: starts_from", required)
        table["starts_from"] = StageCheckpoint(**table["starts_from"])
    return Stage(**table)


def _parse_expectations(table: dict[str, Any], where: str) -> Expectations:
    required = {"wd_multiplied": list, "absent_arguments": list, "initializer": dict}
    _check_keys(table, where, required)
    _strings(list(table["initializer"].values()), f"{where}: initializer")
    return Expectations(
        _strings(table["wd_multiplied"], f"{where}: wd_multiplied"),
        _strings(table["absent_arguments"], f"{where}: absent_arguments"),
        table["initializer"],
    )


def _check_keys(
    table: Any, where: str, required: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> None:
    if not isinstance(table, dict):
        raise RecipeError(f"{where}: expected a table, got {table!r}")
    types = {**required, **(optional or {})}
    for key in table:
        if key not in types:
            remedy = did_you_mean(key, types) or f"The known keys are {', '.join(types)}."
            raise RecipeError(f"{where}: unknown key {key!r}", remedy=remedy)
    for key, kind in types.items():
        if key not in table:
            if key in required:
                raise RecipeError(f"{where}: {key!r} is missing")
            continue
        if type(table[key]) is not kind:
            raise RecipeError(f"{where}: {key!r} must be {_TYPES[kind]}, got {table[key]!r}")
        if kind is int and table[key] < 1:
            raise RecipeError(f"{where}: {key!r} must be at least 1, got {table[key]}")


def _strings(values: list[Any], where: str) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise RecipeError(f"{where}: expected a string, got {value!r}")
    return tuple(values)


def _check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        raise RecipeError(
            f"{where}: 'name' is {name!r}",
            remedy="Use lower-case letters and digits, with single hyphens or underscores between.",
        )
