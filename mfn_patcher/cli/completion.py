"""Completion in the shell: names in the project, in the workspace and among the recipes.

click completes commands, options, choices and files. A parameter whose values are names passes one
of these functions as `shell_complete`. They find the names where the rest of the command line says,
and find none where the command would report an error: a shell cannot show it.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfn_patcher.errors import MfnPatchError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from mfn_patcher.patching.series import Series

    Names = Callable[[click.Context, str], Iterable[str]]
    Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]

VARIABLE = "_MFN_PATCH_COMPLETE"
"""Environment variable by which the shell asks for completions, whatever path started the tool."""


def prepare() -> None:
    """Change click's script for fish to keep the commas in completions, such as checkpoints."""
    from click.shell_completion import FishComplete, add_completion_class

    class KeepCommas(FishComplete):
        source_template = FishComplete.source_template.replace(
            'string split ","', 'string split --max 1 ","'
        )

    add_completion_class(KeepCommas)


def _complete(find: Names) -> Complete:
    """Return the callback for click that offers those of the names that fit."""

    @functools.wraps(find)
    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        try:
            names = list(find(context, incomplete))
        except (MfnPatchError, OSError):
            names = []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete


def _or_files(complete: Complete) -> Complete:
    """Return a callback that offers files if no name fits; shells cannot be told to offer both."""

    @functools.wraps(complete)
    def offer(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        return complete(context, parameter, incomplete) or [CompletionItem(incomplete, "file")]

    return offer


@_complete
def stage(context: click.Context, _incomplete: str) -> Iterable[str]:
    """Offer the names and numbers of the stages of the recipe."""
    return _stages(context)


@_complete
def stages(context: click.Context, incomplete: str) -> Iterable[str]:
    """Offer the stages of the recipe, also after a comma, and all of them."""
    before = incomplete[: incomplete.rfind(",") + 1]
    return [*(f"{before}{each}" for each in _stages(context)), "all"]


@_or_files
@_complete
def recipes(_context: click.Context, _incomplete: str) -> Iterable[str]:
    """Offer the built-in recipes, or files."""
    from mfn_patcher.recipes import loading

    return loading.names()


@_complete
def patches(context: click.Context, _incomplete: str) -> Iterable[str]:
    """Offer the patches of the project, without the suffix of their files."""
    return [patch.name[: -len(".patch")] for patch in _series(context).patches]


@_complete
def stacks(context: click.Context, _incomplete: str) -> Iterable[str]:
    """Offer the stacks of the project."""
    return _series(context).stacks


@_complete
def runs(context: click.Context, _incomplete: str) -> Iterable[str]:
    """Offer the runs of the workspace, newest first."""
    from mfn_patcher.runs import store

    found = store.every(_workspace(context))
    return [store.LAST, *(run.name for run in found)] if found else []


runs_or_files = _or_files(runs)


@_or_files
@_complete
def checkpoints(context: click.Context, incomplete: str) -> Iterable[str]:
    """Offer the checkpoints in the folder that is being typed and those of the workspace."""
    typed = Path(os.path.split(incomplete)[0])
    saved = [*(_workspace(context) / "models").rglob("*.params"), *typed.glob("*.params")]
    for path in sorted(set(saved)):
        if found := re.fullmatch(r"(.+)-(\d{4,})", path.stem):
            yield f"{path.parent / found[1]},{int(found[2])}"


def _stages(context: click.Context) -> list[str]:
    from mfn_patcher.recipes import DEFAULT, loading

    recipe = loading.load(context.params.get("recipe_name") or DEFAULT)
    return [name for each in recipe.stages for name in (each.name, str(each.number))]


def _series(context: click.Context) -> Series:
    from mfn_patcher.patching.project import project_root
    from mfn_patcher.patching.series import load_series

    # Not `load_project_series`: pressing a key must not finish an interrupted change.
    return load_series(project_root(context.params.get("project")))


def _workspace(context: click.Context) -> Path:
    # None if what was typed is no path.
    found: Path | None = context.params["workspace"]
    return found or Path()
