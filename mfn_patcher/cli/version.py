"""``mfn-patch --version``: what a bug report needs to say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mfn_patcher import __version__
from mfn_patcher.cli.terminal import echo
from mfn_patcher.errors import MfnPatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def print_version(context: click.Context, _option: click.Parameter, given: bool) -> None:
    """Print the versions of the tool and of what it runs on, and exit. Nothing slow is imported."""
    if not given or context.resilient_parsing:
        return
    echo(f"mfn-patch {__version__}")
    for name, text in _facts():
        echo(f"{name:<8}  {text}")
    context.exit()


def _facts() -> Iterator[tuple[str, str]]:
    import platform

    yield "git", _or_error(_git)
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    yield "packages", _packages()
    yield "pin", _or_error(_pin)
    yield "platform", platform.platform()


def _or_error(find: Callable[[], str]) -> str:
    """Return what a function finds; a report about a broken installation needs the rest, too."""
    try:
        return find()
    except MfnPatchError as error:
        return f"unknown: {error}"


def _git() -> str:
    from mfn_patcher.patching import git

    return ".".join(map(str, git.version()))


def _packages() -> str:
    from mfn_patcher.children.programs.environment import find_versions

    found = find_versions()
    return ", ".join(f"{name} {version}" for name, version in found.items()) or "none"


def _pin() -> str:
    from mfn_patcher.patching.project import project_root, read_pin, read_upstream

    root = project_root()
    return f"{read_pin(root)} of {read_upstream(root).address}, {root}"
