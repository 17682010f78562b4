"""The best checkpoint is the same one for all that names or keeps it."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mfn_patcher.evaluation.figures import Evaluation
from mfn_patcher.runs.events import Verification
from mfn_patcher.runs.summary import RunSummary
from mfn_patcher.trainer.mfn_trainer import layout
from mfn_patcher.trainer.mfn_trainer.ranking import best_of
from tests.support.evaluation import FIGURES


def test_of_equal_ones_the_last_and_never_one_that_is_no_number() -> None:
    assert best_of({1: 0.5, 2: 0.9, 3: 0.9, 4: math.nan, 5: math.inf}) == 3
    assert best_of({1: 0.0}) == 1
    assert best_of({1: math.nan}) is None
    assert best_of({}) is None


@given(st.lists(st.sampled_from((0.0, 0.5, 0.9, math.nan)), min_size=1, max_size=6))
def test_runs_and_eval_name_the_one_that_keep_keeps(accuracies: list[float]) -> None:
    numbered = dict(enumerate(accuracies, 1))
    run = RunSummary(1)
    for number, accuracy in numbered.items():
        run.add(Verification(None, "lfw", number, accuracy, 0.1, None, None, None))
    named = run.best()["lfw"].step if run.best() else None
    evaluation = Evaluation(
        {n: {"lfw": dataclasses.replace(FIGURES, accuracy=a)} for n, a in numbered.items()}, {}
    )
    assert evaluation.best_on("lfw") == evaluation.best == named
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder, "model")
        # One more, which is kept because it is the last, and is not among the best.
        for number, accuracy in (*numbered.items(), (len(numbered) + 1, math.nan)):
            Path(f"{prefix}-{number:04d}.params").write_bytes(b"x")
            manifest = json.dumps({"verification": {"lfw": accuracy}})
            Path(f"{prefix}-{number:04d}.json").write_text(manifest)
        layout.remove_old(prefix, len(numbered) + 1, 1, set())
        kept = [number for number in numbered if Path(f"{prefix}-{number:04d}.params").exists()]
    assert kept == ([] if named is None else [named])
