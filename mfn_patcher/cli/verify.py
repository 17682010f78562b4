"""``mfn-patch verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.options import (
    engine_option,
    json_option,
    python_option,
    recipe_option,
    report,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json, style
from mfn_patcher.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@workspace_option
@python_option
@engine_option
@recipe_option
@json_option
@click.pass_context
def verify(
    context: click.Context,
    *,
    workspace: Path,
    python: str | None,
    engine: str,
    recipe_name: str,
    as_json: bool,
) -> None:
    """Ask the patched code what it would train with, and compare that with the recipe.

    Upstream's own main() runs, on a tiny data set and the CPU, until it hands the network and
    the optimizer over for training. Then the gradients of PReLU's slopes are measured on the
    first GPU of CUDA_VISIBLE_DEVICES (by default the recipe's), or on the CPU where no engine can
    compute on that. A difference from the recipe or a wrong gradient exits with 4.

    \b
    Example:
      mfn-patch verify
    """
    from mfn_patcher.patching.workspace import Workspace
    from mfn_patcher.recipes import loading
    from mfn_patcher.training.verify import verify as check_code

    place = Workspace(workspace, report)
    checks = check_code(place, loading.load(recipe_name), python, engine)
    failed = [check for check in checks if not check.ok]
    if as_json:
        print_json(
            {
                "workspace": str(place.path),
                "commit": place.chain_commit(),
                "ok": not failed,
                "checks": [
                    {
                        "check": check.name,
                        "case": check.case,
                        "ok": check.ok,
                        "expected": check.expected,
                        "found": check.found,
                    }
                    for check in checks
                ],
            }
        )
    else:
        for check in checks:
            word, colour = ("ok", "green") if check.ok else ("failed", "red")
            echo(f"{style(f'{word:8}', fg=colour)}{check.name} ({check.case})")
            if not check.ok:
                echo(f"{'':8}  expected: {check.expected}")
            echo(f"{'':8}  found:    {check.found}")
    if failed:
        names = ", ".join(dict.fromkeys(check.name for check in failed))
        echo(f"mfn-patch: the code is not what the recipe expects: {names}", err=True)
        context.exit(ExitCode.VERIFICATION)
