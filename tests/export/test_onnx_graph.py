"""What an export does to a network beside translating it, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from mfn_patcher.engine.pytorch.mxnet import symbol as sym
from mfn_patcher.engine.pytorch.mxnet.symbol import Symbol
from mfn_patcher.export.backbone import Backbone
from mfn_patcher.export.onnx_graph import (
    Translated,
    flush_subnormal,
    fold_batch_norms,
    translate,
)
from mfn_patcher.export.onnx_operators import Array, UnsupportedError
from tests.support.networks import drawn, run
from tests.support.operator_vectors import distance

SHAPE = (3, 6, 5)
IMAGES = np.random.default_rng(1).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)


def operators(network: Translated) -> list[str]:
    return [layer.operator for layer in network.layers]


def made(symbol: Symbol, **arrays: Array) -> Translated:
    """Translate a symbol with random parameters, but for those given."""
    return translate(symbol.graph(), {**drawn(symbol, (1, *SHAPE)), **arrays}, SHAPE)


def conv(data: Symbol, name: str, **options: object) -> Symbol:
    return sym.Convolution(data, kernel=(1, 1), num_filter=3, name=name, **options)


def norm(data: Symbol, name: str, **options: object) -> Symbol:
    return sym.BatchNorm(data, name=name, **options)


@pytest.mark.parametrize("no_bias", [True, False])
@pytest.mark.parametrize("fix_gamma", [True, False])
def test_batch_norms_are_folded(no_bias: bool, fix_gamma: bool, tmp_path: Path) -> None:
    body = norm(conv(sym.var("data"), "c", no_bias=no_bias), "cn", fix_gamma=fix_gamma)
    body = sym.FullyConnected(sym.relu(body, name="r"), num_hidden=4, no_bias=no_bias, name="f")
    network = made(norm(body, "fc1", fix_gamma=fix_gamma, eps=2e-5))
    folded, count = fold_batch_norms(network)
    assert (count, operators(folded)) == (2, ["Conv", "Relu", "Flatten", "Gemm"])
    assert [layer.outputs[0] for layer in folded.layers] == ["cn", "r", "f_data_flattened", "fc1"]
    (expected,), (found,) = (run(n, IMAGES, tmp_path).values() for n in (network, folded))
    assert distance(found, expected) <= 2e-6


def test_what_is_read_twice_is_not_folded(tmp_path: Path) -> None:
    body = conv(sym.var("data"), "c")
    network = made(sym.elemwise_add(norm(body, "n"), body, name="fc1"))
    folded, count = fold_batch_norms(network)
    assert (count, operators(folded)) == (0, ["Conv", "BatchNormalization", "Add"])
    (expected,), (found,) = (run(n, IMAGES, tmp_path).values() for n in (network, folded))
    assert np.array_equal(found, expected)


def test_layers_that_share_parameters_are_folded_apart(tmp_path: Path) -> None:
    shared = {"weight": sym.var("w"), "bias": sym.var("b")}
    one = norm(conv(sym.var("data"), "one", **shared), "one_n")
    two = norm(conv(one, "two", **shared), "two_n", fix_gamma=False)
    network = made(two)
    folded, count = fold_batch_norms(network)
    assert count == 2
    (expected,), (found,) = (run(n, IMAGES, tmp_path).values() for n in (network, folded))
    assert distance(found, expected) <= 2e-6


def test_slopes_are_broadcast_over_channels_whatever_the_number_of_axes(tmp_path: Path) -> None:
    slopes = sym.var("slopes")
    body = sym.LeakyReLU(sym.var("data"), slopes, act_type="prelu", name="p")
    body = sym.FullyConnected(body, num_hidden=3, no_bias=True, name="f")
    symbol = sym.LeakyReLU(body, slopes, act_type="prelu", name="fc1")
    # There are as many columns as channels, so only the values tell the axes apart.
    images, given = IMAGES[:, :, :, :3], np.array([0.5, -0.25, 2], dtype=np.float32)
    arrays = {**drawn(symbol, (1, *images.shape[1:])), "slopes": given}
    network = translate(symbol.graph(), arrays, images.shape[1:])
    (found,) = run(network, images, tmp_path).values()
    by_channel = given[:, None, None]
    first = np.where(images > 0, images, images * by_channel).reshape(len(images), -1)
    second = first @ arrays["f_weight"].T
    assert distance(found, np.where(second > 0, second, second * given)) <= 1e-6


def test_subnormal_weights_become_zero() -> None:
    given = np.array([1e-39, -1e-40, 0, 1.2e-38], dtype=np.float32)
    symbol = sym.FullyConnected(sym.var("data"), num_hidden=4, name="fc1")
    network, count = flush_subnormal(made(symbol, fc1_bias=given))
    assert count == 2
    (bias,) = (weight.array for weight in network.weights if weight.name == "fc1_bias")
    assert np.array_equal(bias, np.array([0, 0, 0, 1.2e-38], dtype=np.float32))


def test_half_precision(tmp_path: Path) -> None:
    network = made(sym.FullyConnected(sym.var("data") * 2, num_hidden=4, name="fc1"))
    single = run(network, IMAGES, tmp_path)
    half = run(network, IMAGES, tmp_path, half=True)
    assert {name: array.dtype for name, array in half.items()} == {"fc1": np.dtype(np.float32)}
    assert 1e-5 < distance(half["fc1"], single["fc1"]) < 2e-3


def test_any_number_of_images(tmp_path: Path) -> None:
    network = made(sym.FullyConnected(sym.var("data"), num_hidden=4, name="fc1"))
    (many,), (one,) = (run(network, IMAGES[:count], tmp_path).values() for count in (4, 1))
    assert np.allclose(many[:1], one, rtol=1e-6)


def test_operators_that_are_not_translated_are_named() -> None:
    data = sym.var("data")
    with pytest.raises(UnsupportedError, match=r"layer odd \(arccos\): this operator is not"):
        made(sym.arccos(data, name="odd"))
    graph = sym.relu(data, name="odd").graph()
    graph = replace(graph, nodes=(graph.nodes[0], replace(graph.nodes[1], op="ROIPooling")))
    with pytest.raises(UnsupportedError, match=r"layer odd \(ROIPooling\): this operator is not"):
        translate(graph, {}, SHAPE)


def test_slopes_that_are_computed_are_refused() -> None:
    symbol = sym.LeakyReLU(sym.var("data"), sym.relu(sym.var("g")), act_type="prelu", name="p")
    arrays = {"g": np.ones(3, dtype=np.float32)}
    with pytest.raises(UnsupportedError, match=r"layer p \(LeakyReLU\): its slopes are not"):
        translate(symbol.graph(), arrays, SHAPE)


def test_missing_parameters_are_named() -> None:
    symbol = sym.FullyConnected(sym.var("data"), num_hidden=4, name="fc1")
    arrays = drawn(symbol, (1, *SHAPE))
    with pytest.raises(UnsupportedError, match="it has no fc1_bias"):
        translate(symbol.graph(), {"fc1_weight": arrays["fc1_weight"]}, SHAPE)


@pytest.mark.parametrize("copied", [True, False])
def test_scaling_of_pixels(copied: bool) -> None:
    data = sym.var("data")
    body = (sym.identity(data, name="id") if copied else data) - 127.5
    symbol = conv(body * 0.0078125, "c")
    assert Backbone(symbol.graph(), {}).scaling == (
        ("minus_scalar", 127.5),
        ("mul_scalar", 0.0078125),
    )
    assert Backbone(conv(data, "c").graph(), {}).scaling == ()
