"""Networks of the script in ONNX, against both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from mfn_patcher.children.programs import prelu
from mfn_patcher.engine.pytorch.mxnet import symbol as sym
from mfn_patcher.engine.pytorch.mxnet.symbol import Symbol
from mfn_patcher.export.formats.base import SINGLE
from mfn_patcher.export.onnx_graph import fold_batch_norms, translate
from mfn_patcher.export.proof import agreement
from tests.support import engine_children as children
from tests.support.engines import ENGINES
from tests.support.networks import drawn, run
from tests.support.tool import Tool, validated
from tests.support.trained import MODELS, SHARING

pytestmark = SHARING

SHAPE = (3, 112, 112)
# Depthwise layers; bottlenecks without; residual units; dense blocks with concatenation, pooling
# and dropout; slices and sums of many. All others of the script were tried by hand once.
NETWORKS = ("y1", "m1", "r18", "d121", "p68")


def parameters(symbol: Symbol) -> dict[str, Any]:
    """Return random parameters with which numbers stay of one size from layer to layer."""
    arrays = drawn(symbol, (1, *SHAPE))
    del arrays["data"]

    def scale(name: str, array: Any) -> float:
        if array.ndim > 1:
            return float((np.prod(array.shape[1:]) / 2) ** -0.5)
        return 0.1 if name.endswith(("beta", "bias", "mean", "relu_gamma")) else 1.0

    return {name: array * np.float32(scale(name, array)) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def symbols(_patched_once: Path) -> dict[str, Symbol]:
    """The networks up to the embedding, as they are trained."""
    commands = [f"--network {network} --loss-type 4" for network in NETWORKS]
    said = children.run(
        "symbols", "--dump", engine=True, given=commands, folder=_patched_once / "src"
    )
    texts = [entry["text"] for entry in json.loads(said.splitlines()[-1])]
    return {
        network: sym.load_json(text).get_internals()["fc1_output"]
        for network, text in zip(NETWORKS, texts)
    }


@pytest.fixture(scope="module")
def images() -> Any:
    drawn = np.random.default_rng(5).integers(0, 256, (2, *SHAPE)).astype(np.float32)
    drawn[1] /= np.linspace(1, 9, SHAPE[-1])  # so that embeddings differ
    return drawn


@pytest.fixture(scope="module")
def given(symbols: dict[str, Symbol]) -> dict[str, dict[str, Any]]:
    """Parameters of each network."""
    return {network: parameters(symbol) for network, symbol in symbols.items()}


@pytest.fixture(scope="module", params=ENGINES)
def embedded(
    symbols: dict[str, Symbol],
    given: dict[str, dict[str, Any]],
    images: Any,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """The embeddings that an engine computes, by network."""
    folder = tmp_path_factory.mktemp("embedded")
    arrays: dict[str, Any] = {}
    for network, symbol in symbols.items():
        arrays[f"{network}|"] = np.array(symbol.tojson())
        arrays[f"{network}|data"] = images
        arrays |= {f"{network}|{name}": array for name, array in given[network].items()}
    np.savez(folder / "cases.npz", **arrays)
    files = (folder / "cases.npz", folder / "found.npz")
    children.run("compute", *files, engine=request.param == "torch")
    with np.load(files[1]) as found:
        return {network: found[network] for network in NETWORKS}


@pytest.fixture(scope="module")
def translated(
    symbols: dict[str, Symbol],
    given: dict[str, dict[str, Any]],
    images: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[Any]]:
    """The embeddings of each network in ONNX, as it is and with PReLU as one operator."""
    folder = tmp_path_factory.mktemp("translated")

    def embed(symbol: Symbol, network: str) -> Any:
        graph = translate(symbol.graph(), given[network], SHAPE)
        return run(fold_batch_norms(graph)[0], images, folder)["fc1"]

    return {
        network: [
            embed(symbol, network),
            embed(sym.load_json(prelu.fold(symbol.tojson())), network),
        ]
        for network, symbol in symbols.items()
    }


@pytest.mark.parametrize("network", NETWORKS)
def test_embeddings(
    network: str, embedded: dict[str, Any], translated: dict[str, list[Any]]
) -> None:
    expected = embedded[network]
    assert np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()
    for found in translated[network]:
        assert agreement(expected, found).within(SINGLE)


@pytest.mark.mxnet
@pytest.mark.torch
@pytest.mark.parametrize("form", MODELS)
def test_both_engines_export_the_same_files(
    tool: Tool, trained: Path, exported: Path, tmp_path: Path, form: str
) -> None:
    checkpoint = trained / "models" / "MobileFaceNet" / "model-y1-softmax"
    ran = tool(
        *("export", f"{checkpoint},1", "-w", trained, "--format", form, "-o", tmp_path, "--json"),
        *("--engine", "torch"),
    )
    assert ran.code == 0, ran.err
    report = validated("export", ran.out)
    assert report["proof"]["reference"].startswith("PyTorch (torch ")
    for file in report["files"]:
        assert (tmp_path / file["name"]).read_bytes() == (exported / file["name"]).read_bytes()
    other = json.loads((exported / f"{MODELS[form]}.json").read_text(encoding="utf-8"))
    assert other["proof"]["reference"].startswith("MXNet (mxnet")
    assert other["files"] == report["files"]


@pytest.mark.torch
def test_exported_models_are_evaluated_on_pytorch(
    tool: Tool, trained: Path, exported: Path
) -> None:
    command = ("eval", "-w", trained, "--target", "lfw", "--data-dir", trained.parent / "data")
    results = []
    for engine in ("torch", "auto"):
        model = ("--model", exported / MODELS["onnx"], "--engine", engine, "--json")
        ran = tool(*command, *model)
        assert ran.code == 0, ran.err
        (result,) = validated("eval", ran.out)["results"]
        results.append(result["accuracy"])
    assert results[0] == results[1]
