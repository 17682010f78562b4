"""``mfn-patch verify``: compare what the patched code does with what the recipe expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    engine_option,
    json_option,
    python_option,
    recipe_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json, style
from mfn_patcher.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from mfn_patcher.training.verify import Check


@click.command(
    short_help="Run the patched code up to training, and check it.",
    cls=Command,
    examples=("mfn-patch verify",),
)
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
    """Run the patched code up to training, and compare it with what the recipe expects.

    Upstream's own main() runs on a tiny data set and the CPU until it passes the network and the
    optimizer to Module.fit. Then the gradients of PReLU's slopes are measured on the first GPU of
    CUDA_VISIBLE_DEVICES (by default the recipe's), or on the CPU if no engine can compute on that
    GPU. A difference from the recipe or a wrong gradient exits with code 4.
    """
    from mfn_patcher.patching.workspace import Workspace
    from mfn_patcher.recipes import loading
    from mfn_patcher.training.verify import verify as check_code

    place = Workspace(workspace)
    verification = check_code(place, loading.load(recipe_name), python, engine)
    if as_json:
        print_json(
            {
                "workspace": str(place.path),
                "commit": place.chain_commit(),
                "engine": verification.engine.as_json(),
                "ok": not verification.failed,
                "checks": [
                    {
                        "check": check.name,
                        "case": check.case,
                        "ok": check.ok,
                        "expected": check.expected,
                        "found": check.found,
                    }
                    for check in verification.checks
                ],
            }
        )
    else:
        echo(f"engine: {verification.engine.describe()}")
        for check in verification.checks:
            _print(check)
    if verification.failed:
        names = ", ".join(dict.fromkeys(check.name for check in verification.failed))
        echo(f"mfn-patch: the code does not do what the recipe expects: {names}", err=True)
        context.exit(ExitCode.VERIFICATION)


def _print(check: Check) -> None:
    word, colour = ("ok", "green") if check.ok else ("failed", "red")
    echo(f"{style(f'{word:8}', fg=colour)}{check.name} ({check.case})")
    if not check.ok:
        echo(f"{'':8}  expected: {check.expected}")
    echo(f"{'':8}  found:    {check.found}")
