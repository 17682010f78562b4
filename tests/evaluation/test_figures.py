from __future__ import annotations

import dataclasses

from mfn_patcher.evaluation.figures import Evaluation, Figures
from tests.support.evaluation import FIGURES


def accuracy(value: float) -> Figures:
    return dataclasses.replace(FIGURES, accuracy=value)


def evaluation(**checkpoints: tuple[float, float]) -> Evaluation:
    return Evaluation(
        {
            int(name[1:]): {"lfw": accuracy(lfw), "agedb_30": accuracy(agedb)}
            for name, (lfw, agedb) in checkpoints.items()
        },
        {},
    )


def test_the_best_is_so_on_the_mean() -> None:
    found = evaluation(c1=(0.99, 0.90), c2=(0.98, 0.95), c3=(0.97, 0.94))
    assert found.best == 2
    assert found.best_on("lfw") == 1
    assert found.best_on("agedb_30") == 2


def test_of_equals_the_last_is_the_best() -> None:
    found = evaluation(c1=(0.5, 0.5), c2=(0.5, 0.5), c3=(0.4, 0.5))
    assert found.best == found.best_on("lfw") == 2
    assert found.best_on("agedb_30") == 3


def test_none_is_the_best_of_none() -> None:
    assert Evaluation({}, {1: "it is torn"}).best is None
