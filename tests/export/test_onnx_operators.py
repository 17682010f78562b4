"""Each operator in ONNX against what MXNet computed, and against both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfn_patcher.engine.pytorch.mxnet import symbol as sym
from mfn_patcher.engine.pytorch.mxnet.symbol import Symbol
from mfn_patcher.export.onnx_operators import WRITERS
from tests.support import engine_children as children
from tests.support.engine_children import DATA
from tests.support.operator_vectors import Case, distance, load

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from tests.support.networks import drawn, run, translated

RECORDED = load(DATA / "operators.npz")


def operators(case: Case) -> set[str]:
    return {node["op"] for node in json.loads(case.symbol)["nodes"]} - {"null"}


# Operators whose cases have several arrays of images; a network has one, and parameters beside it.
OF_SEVERAL = {"BlockGrad", "Concat", "add_n"} | {
    f"elemwise_{x}" for x in ("add", "div", "mul", "sub")
}
CASES = [name for name, case in RECORDED.items() if operators(case) <= set(WRITERS)]


@pytest.mark.parametrize("name", CASES)
def test_recorded(name: str, tmp_path: Path) -> None:
    case = RECORDED[name]
    arrays, outputs = case.named["arguments"], case.listed["inference"]
    if operators(case) <= OF_SEVERAL:
        arrays = {name: array[:1] for name, array in arrays.items()}
        outputs = [output[:1] for output in outputs]
    for head, expected in enumerate(outputs):
        network, data = translated(case.symbol, {**arrays, **case.named["auxiliary"]}, head=head)
        (found,) = run(network, data, tmp_path).values()
        assert distance(found, expected) <= 2e-6


def of_image() -> dict[str, tuple[Symbol, tuple[int, ...]]]:
    """Return what no network of 2018 has, or none of the recorded cases: symbols and shapes."""
    data = sym.var("data")
    cases: dict[str, Symbol] = {}
    for kind in ("max", "avg"):
        for pad in ((0, 0), (1, 1)):
            for counted in (True, False):
                cases[f"Pooling {kind} full {pad} {counted}"] = sym.Pooling(
                    data,
                    kernel=(4, 3),
                    stride=(2, 2),
                    pad=pad,
                    pool_type=kind,
                    pooling_convention="full",
                    count_include_pad=counted,
                )
        cases[f"Pooling {kind} global"] = sym.Pooling(data, global_pool=True, pool_type=kind)
    cases["Pooling avg uncounted"] = sym.Pooling(
        data, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", count_include_pad=False
    )
    cases["Convolution dilated"] = sym.Convolution(
        data, kernel=(3, 3), num_filter=2, dilate=(2, 1), pad=(1, 2), name="c"
    )
    for flatten in (True, False):
        for no_bias in (True, False):
            cases[f"FullyConnected {flatten} {no_bias}"] = sym.FullyConnected(
                data, num_hidden=4, flatten=flatten, no_bias=no_bias, name="f"
            )
    for kind in ("tanh", "softrelu", "softsign"):
        cases[f"Activation {kind}"] = sym.Activation(data, act_type=kind)
    for mode in ("edge", "reflect", "constant"):
        cases[f"Pad {mode}"] = sym.Pad(
            data, mode=mode, pad_width=(0, 0, 0, 0, 1, 2, 3, 0), constant_value=1.5
        )
    cases["slice"] = sym.slice(data, begin=(None, 1, -4), end=(None, None, -1), step=(1, 1, 2))
    cases["slice_axis"] = sym.slice_axis(data, axis=2, begin=-5, end=-1)
    parts = sym.SliceChannel(data, num_outputs=3, axis=1, squeeze_axis=True)
    cases["SliceChannel squeezed"] = parts[0] - parts[2]
    cases["expand_dims"] = sym.expand_dims(data, axis=1)
    cases["Reshape"] = sym.Reshape(data, shape=(-1, 2))
    cases["broadcast_add"] = sym.broadcast_add(data, sym.var("other", shape=(1, 3, 1, 1)))
    cases["broadcast_sub"] = sym.broadcast_sub(data, sym.var("other", shape=(1, 3, 1, 1)))
    cases["broadcast_div"] = sym.broadcast_div(data, sym.var("other", shape=(1, 3, 1, 1)))
    cases["broadcast_maximum"] = sym.broadcast_maximum(data, sym.var("other", shape=(1, 1, 7, 1)))
    cases["broadcast_minimum"] = sym.broadcast_minimum(data, sym.var("other", shape=(1, 1, 7, 1)))
    for name in ("abs", "negative", "relu", "square"):
        cases[name] = getattr(sym, name)(data)
    cases["elemwise_div"] = data / (sym.abs(data) + 1)
    cases["_rdiv_scalar"] = 2 / (sym.abs(data) + 1)
    cases["_maximum_scalar"] = sym._maximum_scalar(data, scalar=0.25)
    cases["_minimum_scalar"] = sym._minimum_scalar(data, scalar=0.25)
    cases["nothing but Dropout"] = sym.Dropout(data, p=0.5)
    return {name: (symbol, (2, 3, 7, 8)) for name, symbol in cases.items()}


OTHERS = of_image()
ENGINES = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("mxnet", "torch")]


@pytest.fixture(scope="module", params=ENGINES)
def computed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[dict[str, Any], Any]]:
    """What goes into each of the others, and what an engine makes of it."""
    folder = tmp_path_factory.mktemp("computed")
    given = {name: drawn(symbol, shape) for name, (symbol, shape) in OTHERS.items()}
    arrays: dict[str, Any] = {
        f"{name}|{key}": array for name, each in given.items() for key, array in each.items()
    }
    arrays |= {f"{name}|": np.array(symbol.tojson()) for name, (symbol, _) in OTHERS.items()}
    np.savez(folder / "cases.npz", **arrays)
    files = (folder / "cases.npz", folder / "found.npz")
    children.run("compute", *files, engine=request.param == "torch")
    with np.load(files[1]) as found:
        return {name: (given[name], found[name]) for name in OTHERS}


@pytest.mark.parametrize("name", OTHERS)
def test_computed(name: str, computed: dict[str, Any], tmp_path: Path) -> None:
    arrays, expected = computed[name]
    network, data = translated(OTHERS[name][0].tojson(), arrays)
    (found,) = run(network, data, tmp_path).values()
    assert distance(found, expected) <= 2e-6


def test_every_operator_has_a_case() -> None:
    shown = {node["op"] for s, _ in OTHERS.values() for node in json.loads(s.tojson())["nodes"]}
    shown = shown.union(*(operators(RECORDED[name]) for name in CASES))
    assert set(WRITERS) <= shown
