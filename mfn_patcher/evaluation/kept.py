"""Keeping what was measured with the runs that saved the checkpoints, for their reports."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from mfn_patcher.evaluation.figures import FAR, Evaluation
from mfn_patcher.evaluation.plan import Plan
from mfn_patcher.runs import rates, record
from mfn_patcher.runs.rates import Rate

_LOG = logging.getLogger(__name__)


def keep(plan: Plan, evaluation: Evaluation, runs: Path) -> None:
    """Add the true accept rates of checkpoints to the folders of the runs that saved them.

    A folder that cannot be written is no reason to fail: a warning says so.

    Args:
        plan: what was evaluated.
        evaluation: the results.
        runs: folder of all runs.
    """
    if plan.model.runtime:
        return
    for number in evaluation.figures:
        writer = record.find_writer(runs, plan.model.checkpoints[number], plan.model.prefix)
        if writer is None:
            continue
        folder, _ = writer
        try:
            rates.append(_rates(plan, evaluation, number), folder)
        except OSError as error:
            _LOG.warning("cannot add to %s: %s", folder / rates.FILE, error.strerror)
            return


def _rates(plan: Plan, evaluation: Evaluation, number: int) -> Iterator[Rate]:
    measured = record.utc_now()
    for name, figures in evaluation.figures[number].items():
        yield Rate(
            measured,
            number,
            name,
            str(plan.data_dir),
            figures.accuracy,
            FAR,
            figures.far,
            figures.tar,
            figures.tar_std,
            figures.different,
        )
