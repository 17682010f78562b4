"""``mfn-patch recipes``: what there is to train by."""

from __future__ import annotations

import click

from mfn_patcher.cli.options import json_option
from mfn_patcher.cli.terminal import echo, echo_exactly, print_json
from mfn_patcher.recipes import DEFAULT


@click.group()
def recipes() -> None:
    """List the recipes that come with the tool, or show one."""


@recipes.command("list", epilog="\b\nExample:\n  mfn-patch recipes list")
@json_option
def list_(as_json: bool) -> None:
    """List the recipes that come with the tool; train --recipe NAME takes them."""
    from mfn_patcher.recipes import model as recipe
    from mfn_patcher.recipes import published

    known = [recipe.load(name) for name in recipe.names()]
    if as_json:
        print_json(
            {
                "default": DEFAULT,
                "recipes": [
                    {
                        "name": found.name,
                        "summary": found.summary,
                        "source": found.source,
                        "published": [
                            {
                                "source": figures.title,
                                "accuracies": dict(figures.accuracies),
                                "at_least": sorted(figures.at_least),
                            }
                            for figures in published.load()
                            if figures.url == found.source
                        ],
                        "batch_size": found.batch_size,
                        "stages": [
                            {"number": stage.number, "name": stage.name, "steps": stage.steps}
                            for stage in found.stages
                        ],
                    }
                    for found in known
                ],
            }
        )
        return
    for found in known:
        echo(f"{found.name}: {found.summary}")
        for stage in found.stages:
            echo(f"  {stage.title}: {stage.steps:,} steps of {found.batch_size} images")
        for figures in published.load():
            if figures.url == found.source:
                echo(f"  published: {figures.describe()}")


@recipes.command(
    epilog="\b\nExample:\n  mfn-patch recipes show issue-214\n"
    "  mfn-patch recipes show mobilefacenet > mine.toml"
)
@click.argument("name", metavar="NAME|FILE")
@json_option
def show(name: str, as_json: bool) -> None:
    """Print a recipe's TOML, to read or as a start for one of your own.

    A file of yours is checked as train checks it: its first error exits with 1.
    """
    from mfn_patcher.recipes import model as recipe

    found = recipe.load(name)
    if as_json:
        print_json(found.as_json())
    else:
        echo_exactly(recipe.read_text(name)[0])
