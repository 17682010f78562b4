"""``mfn-patch lint``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import find_project, json_option, project_option
from mfn_patcher.cli.terminal import echo, print_json
from mfn_patcher.errors import ExitCode
from mfn_patcher.printable import counted

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=Command, examples=("mfn-patch lint",))
@project_option
@json_option
@click.pass_context
def lint(context: click.Context, project: Path | None, as_json: bool) -> None:
    """Check the files of the project, without upstream.

    This checks pinned_commit.txt, upstream.toml, and in patches/ the order, headers, diffs, blob
    ids and stray files. Each problem is printed on a line, as file:line: message.
    """
    from mfn_patcher.patching.lint import lint as find_problems
    from mfn_patcher.patching.series import load_series

    root = find_project(project)
    problems = find_problems(root)
    if as_json:
        told = [
            {"file": str(each.path), "line": each.line or None, "message": each.message}
            for each in problems
        ]
        print_json({"ok": not problems, "problems": told})
        context.exit(ExitCode.ERROR if problems else ExitCode.DONE)
    for problem in problems:
        echo(problem)
    if problems:
        context.exit(ExitCode.ERROR)
    series = load_series(root)
    patches = counted(len(series.patches), "patch", "patches")
    stacks = counted(len(series.stacks), "stack", "stacks")
    echo(f"{patches} in {stacks}: no problems.")
