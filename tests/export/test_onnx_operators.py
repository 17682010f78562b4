"""Each operator in ONNX against what MXNet computed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfn_patcher.export.onnx_operators import WRITERS
from tests.engine.children import DATA
from tests.engine.operators import Case, distance, load
from tests.export.networks import run, translated

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

RECORDED = load(DATA / "operators.npz")


def operators(case: Case) -> set[str]:
    return {node["op"] for node in json.loads(case.symbol)["nodes"]} - {"null"}


# Of operators that read several arrays of images; a network has but one, and parameters beside it.
OF_SEVERAL = {"Concat", "add_n", "elemwise_add", "elemwise_sub", "elemwise_mul"}
CASES = [name for name, case in RECORDED.items() if operators(case) <= set(WRITERS)]


@pytest.mark.parametrize("name", CASES)
def test_recorded(name: str, tmp_path: Path) -> None:
    case = RECORDED[name]
    arrays, outputs = case.named["arguments"], case.listed["inference"]
    if operators(case) & OF_SEVERAL:
        arrays = {name: array[:1] for name, array in arrays.items()}
        outputs = [output[:1] for output in outputs]
    for head, expected in enumerate(outputs):
        network, data = translated(case.symbol, {**arrays, **case.named["auxiliary"]}, head=head)
        (found,) = run(network, data, tmp_path).values()
        assert distance(found, expected) <= 2e-6
