"""Recording MXNet again gives the recorded results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine_children import ANSWERING, DATA, answer, recorded, run
from tests.support.operator_vectors import distance, load

pytestmark = pytest.mark.mxnet


@pytest.mark.parametrize("program", ANSWERING)
def test_answers(program: str) -> None:
    assert answer(program, engine=False) == recorded(program)


def test_operators(tmp_path: Path) -> None:
    run("record_operators", tmp_path / "operators.npz", engine=False)
    again, kept = load(tmp_path / "operators.npz"), load(DATA / "operators.npz")
    assert list(again) == list(kept)
    for name, case in kept.items():
        assert again[name].symbol == case.symbol
        for key, arrays in case.named.items():
            others = again[name].named[key]
            assert list(others) == list(arrays)
            assert max((distance(others[n], a) for n, a in arrays.items()), default=0) < 1e-12
        for key, listed in case.listed.items():
            assert max(map(distance, again[name].listed[key], listed)) < 1e-12
