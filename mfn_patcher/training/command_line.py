"""The command of a planned stage as text: for a shell, and with every difference explained."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from mfn_patcher.training.plan import StagePlan


def shell_line(plan: StagePlan, python: str = "python", packages: Sequence[Path] = ()) -> str:
    """Return the command for a shell: the documented line, then what is added.

    Args:
        plan: plan of the stage.
        python: the training interpreter.
        packages: folders that must come first on the interpreter's module path.
    """
    words = [shlex.quote(python), "-u", *map(shlex.quote, (plan.script, *plan.arguments))]
    devices = f"CUDA_VISIBLE_DEVICES='{plan.visible_devices}'"
    path = shlex.quote(os.pathsep.join(map(str, packages)))
    return " ".join([*([f"PYTHONPATH={path}"] if packages else []), devices, *words])


def explain(
    plan: StagePlan,
    folder: Path,
    python: str,
    engine: str,
    packages: Sequence[Path] = (),
) -> str:
    """Return the command with comments: where it runs, and the reason for each difference.

    Args:
        plan: plan of the stage.
        folder: folder of the script.
        python: the interpreter that ``python`` stands for in the line.
        engine: the engine, and the reason for its choice.
        packages: as for `shell_line`.
    """
    lines = [f"{plan.stage.title}, runs in {folder}, python is {python}"]
    lines.append(f"engine: {engine}")
    lines += [f"added: {shlex.join(added.tokens)} — {added.reason}" for added in plan.added]
    for change in plan.changed:
        values = f"{change.name} {shlex.quote(change.value)}"
        lines.append(f"changed: {values}, documented {change.documented} — {change.reason}")
    lines += [f"note: {note}" for note in plan.notes]
    # A line break inside a path would end the comment and begin a command.
    first, *others = ("# " + line.replace("\n", " ") for line in lines)
    return "\n".join([first, shell_line(plan, packages=packages), *others])
