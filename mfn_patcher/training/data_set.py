"""Checks of the data set of a stage, and what they mean for those who made it themselves."""

from __future__ import annotations

from pathlib import Path

from mfn_patcher.data.check import preflight
from mfn_patcher.data.making.training_files import IDENTITIES
from mfn_patcher.data.verification_set import DRAWN, DRAWN_RECIPE, NAMES, set_names
from mfn_patcher.finding import Finding, Level
from mfn_patcher.recipes import loading
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.plan import StagePlan


def check(plan: StagePlan, context: RunContext) -> list[Finding]:
    """Check the data set of a stage.

    Returns:
        An error for everything that would stop the script, and warnings: that an accuracy that the
        user asks for will not be measured, or none at all, or that another recipe is meant for data
        sets of one's own. Nothing if all is well.
    """
    folder = context.resolve(plan.data_dir)
    targets = NAMES if plan.targets is None else plan.targets
    workers = plan.batch_size // (int(plan.value("--per-batch-size") or 1) * (plan.devices or 1))
    findings = list(preflight(folder, plan.batch_size, targets, workers))
    present = set_names(folder) if folder.is_dir() else []
    missing = [name for name in targets if name and name not in present]
    none = not set(targets).intersection(present)
    if not findings and missing and (none or plan.targets is not None):
        detail = f"{folder} has no {' or '.join(f'{name}.bin' for name in missing)}: "
        detail += "no accuracy will be measured" if none else "the script skips what is missing"
        remedy = "`mfn-patch data make --pairs` draws pairs."
        if present:
            remedy = f"End the training command with -- --target {','.join(present)}."
        findings.append(Finding(Level.WARNING, "verification sets", detail, remedy))
    if findings and (remedy := _own_faces(plan.recipe, folder, present)):
        detail = f"{plan.recipe} is meant for published data sets such as MS1M"
        findings.append(Finding(Level.WARNING, "recipe", detail, remedy))
    return findings


def _own_faces(recipe: str, folder: Path, present: list[str]) -> str:
    """Return how to train on own faces if that seems to be meant; empty otherwise."""
    if recipe == DRAWN_RECIPE or recipe not in loading.names():
        return ""  # who wrote a recipe knows what it is for
    if not folder.is_dir():
        return (
            "To train on your own faces, make a data set with `mfn-patch data make`, and pass it "
            f"with --data-dir and --recipe {DRAWN_RECIPE}."
        )
    if (folder / IDENTITIES).exists() or DRAWN in present:
        return f"To fine-tune on your own faces, pass --recipe {DRAWN_RECIPE}."
    return ""
