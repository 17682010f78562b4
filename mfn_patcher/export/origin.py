"""Where a checkpoint comes from: the run that saved it, and what that run measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.checkpoints.selection import Model
from mfn_patcher.export.digest import FileDigest, digest
from mfn_patcher.runs import record
from mfn_patcher.runs.store import Run


@dataclass(frozen=True)
class Origin:
    """Where an exported network comes from.

    Attributes:
        checkpoint: file of the checkpoint.
        run: name of the run that saved it; None if unknown.
        chain_commit: commit of the patched code that trained it; None if unknown.
        accuracies: accuracies with flip that the run measured of it, 0 to 1, by set.
    """

    checkpoint: FileDigest
    run: str | None
    chain_commit: str | None
    accuracies: Mapping[str, float]


def trace(workspace: Path, model: Model) -> Origin:
    """Return where a checkpoint comes from.

    Args:
        workspace: path of the workspace, whose runs are searched.
        model: a single checkpoint.
    """
    ((number, checkpoint),) = model.checkpoints.items()
    found = record.find_writer(workspace / "runs", checkpoint, model.prefix)
    run = Run(*found) if found else None
    return Origin(
        digest(checkpoint),
        run.name if run else None,
        run.record.get("chain_commit") if run else None,
        _accuracies(run, number),
    )


def _accuracies(run: Run | None, number: int) -> dict[str, float]:
    summary = run.summary if run else None
    if summary is None:
        return {}
    steps = {event.step for event in summary.checkpoints if event.number == number}
    return {event.set: event.accuracy for event in summary.verifications if event.step in steps}
