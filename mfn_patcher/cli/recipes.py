"""``mfn-patch recipes``: list the built-in recipes, or print and check one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Group
from mfn_patcher.cli.options import json_option
from mfn_patcher.cli.terminal import echo, echo_exactly, print_json
from mfn_patcher.recipes import DEFAULT

if TYPE_CHECKING:
    from mfn_patcher.recipes.model import Recipe
    from mfn_patcher.recipes.published import Published


@click.group(cls=Group, short_help="List the built-in recipes, or print one.")
def recipes() -> None:
    """List the built-in training recipes, or print one."""


@recipes.command(
    "list", short_help="List the built-in recipes.", examples=("mfn-patch recipes list",)
)
@json_option
def list_(as_json: bool) -> None:
    """List the built-in recipes. `train --recipe NAME` trains with one of them."""
    from mfn_patcher.recipes import loading, published

    figures = published.load()
    known = [
        (recipe, [entry for entry in figures if entry.url == recipe.source])
        for recipe in map(loading.load, loading.names())
    ]
    if as_json:
        entries = [_as_json(recipe, accuracies) for recipe, accuracies in known]
        print_json({"default": DEFAULT, "recipes": entries})
        return
    for recipe, accuracies in known:
        echo(f"{recipe.name}: {recipe.summary}")
        for stage in recipe.stages:
            echo(f"  {stage.title}: {stage.steps:,} steps of {recipe.batch_size} images")
        for entry in accuracies:
            echo(f"  published: {entry.describe()}")


def _as_json(recipe: Recipe, accuracies: list[Published]) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "source": recipe.source,
        "published": [
            {
                "source": entry.title,
                "accuracies": dict(entry.accuracies),
                "at_least": sorted(entry.at_least),
            }
            for entry in accuracies
        ],
        "batch_size": recipe.batch_size,
        "stages": [
            {"number": stage.number, "name": stage.name, "steps": stage.steps}
            for stage in recipe.stages
        ],
    }


@recipes.command(
    short_help="Print a recipe, or check one of your own.",
    examples=(
        "mfn-patch recipes show issue-214",
        "mfn-patch recipes show mobilefacenet > mine.toml",
    ),
)
@click.argument("name", metavar="NAME|FILE", shell_complete=completion.recipes)
@json_option
def show(name: str, as_json: bool) -> None:
    """Print the TOML text of a recipe, to read it or to start your own from it.

    A file of your own is validated as `train` would validate it; if it is invalid, its first error
    is reported and the exit code is 1.
    """
    from mfn_patcher.recipes import loading

    recipe = loading.load(name)
    if as_json:
        print_json(recipe.as_json())
    else:
        echo_exactly(loading.read_text(name)[0])
