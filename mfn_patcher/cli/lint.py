"""``mfn-patch lint``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import find_project, project_option
from mfn_patcher.cli.terminal import echo
from mfn_patcher.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@project_option
@click.pass_context
def lint(context: click.Context, project: Path | None) -> None:
    """Check patches/ without asking upstream: order, headers, diffs, blob ids, stray files.

    Problems are printed one a line, as file:line: message.

    \b
    Example:
      mfn-patch lint
    """
    from mfn_patcher.lint import lint as find_problems
    from mfn_patcher.patches import load_series

    root = find_project(project)
    problems = find_problems(root)
    for problem in problems:
        echo(problem)
    if problems:
        context.exit(ExitCode.ERROR)
    series = load_series(root)
    echo(f"{len(series.patches)} patches in {len(series.stacks)} stacks: no problems.")
