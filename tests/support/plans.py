"""Plans of stages, for tests that need no training."""

from __future__ import annotations

import dataclasses

from mfn_patcher.recipes import loading
from mfn_patcher.training.options import Options
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.planner import plan_chain


def plans(**options: object) -> tuple[StagePlan, ...]:
    """Return the plans of all stages for four ranks, with these options."""
    chosen = loading.load()
    asked = dataclasses.replace(Options(workers=4, seed=0), **options)  # type: ignore[arg-type]
    return plan_chain(chosen, chosen.stages, asked)
