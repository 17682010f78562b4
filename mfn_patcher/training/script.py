"""The script in the workspace, which everything that trains or measures a step runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfn_patcher.training.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from mfn_patcher.patching.series import Series


def require_patches(series: Series, script: str) -> None:
    """Raise TrainingError if a series is for another upstream than that of a recipe's script."""
    path = f"src/{script}"
    if path not in series.paths:
        raise TrainingError(
            f"the patches of {series.root} are not for insightface: none changes {path}, which the "
            "recipes run",
            remedy="Change to a folder without a project: the built-in patches are used there.",
        )


def require_script(source: Path, script: str) -> None:
    """Raise TrainingError if a recipe's script is not in the folder `source` of a workspace."""
    if (source / script).is_file():
        return
    if (source.parent / ".git").exists():
        raise TrainingError(
            f"{source.parent} is a clone without {source.name}/{script}",
            remedy="Run `mfn-patch apply` if it is a workspace of insightface, or name one with "
            "--workspace: the recipes train nothing else.",
        )
    raise TrainingError(
        f"{source / script} does not exist",
        remedy="Run `mfn-patch apply`, or name the workspace with --workspace.",
    )
