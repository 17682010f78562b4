"""The gradients of PReLU's slopes, which MXNet computes wrong since version 1.3."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from mfn_patcher.cli import run as run_tool
from mfn_patcher.data.synth import synthesise
from mfn_patcher.engine import MXNET
from mfn_patcher.engine.choice import Engine, choose
from mfn_patcher.recipes import loading
from mfn_patcher.training.verify import check_slopes
from tests.support.upstream import ask

pytestmark = pytest.mark.mxnet

WITHOUT = ("--without", "gradients/0001-prelu-slopes")
# MXNet plans memory differently with oneDNN, which GPUs do not have.
ONEDNN = pytest.mark.parametrize("onednn", ["1", "0"])


AGREE = {
    "a small network, on cpu(0)": "6 measured, all of them agree",
    "y1, on cpu(0)": "9 measured, all of them agree",
}
# The slopes of the small network whose gradients are wrong, and the factors by which they are.
WRONG = ("0.25", "0.50", "0.10", "-0.30", "0.70")


@pytest.fixture(scope="module")
def _unpatched_once(_patched_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("unpatched") / "insightface"
    shutil.copytree(_patched_once, workspace, symlinks=True)
    assert run_tool(["apply", "-w", str(workspace), *WITHOUT]) == 0
    return workspace


@pytest.fixture
def unpatched(patched: Path, request: pytest.FixtureRequest) -> Path:
    """A workspace without the patch of PReLU; tests must not change it."""
    assert patched
    path: Path = request.getfixturevalue("_unpatched_once")
    return path


@pytest.fixture
def engine() -> Engine:
    return choose(MXNET, sys.executable, os.environ, "")


def test_the_patch_corrects_them(
    engine: Engine, patched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without oneDNN; test_verify.py measures with it."""
    monkeypatch.setenv("MXNET_MKLDNN_ENABLED", "0")
    checks = check_slopes(patched / "src", loading.load(), engine, "")
    assert {check.case: check.found for check in checks} == AGREE


def test_without_the_patch_they_are_wrong_where_the_planner_permits(
    engine: Engine, unpatched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MXNET_MKLDNN_ENABLED", "0")
    small, network = check_slopes(unpatched / "src", loading.load(), engine, "")
    assert not small.ok
    for slope in WRONG:
        assert f"] times {slope}" in small.found
    assert not network.ok
    assert "res_4_block3_conv_sep_relu_gamma times 0.25, " in network.found


@ONEDNN
def test_other_networks(
    patched: Path, tmp_path: Path, training_environment: dict[str, str], onednn: str
) -> None:
    synthesise(tmp_path / "data", identities=4, images_per_identity=2, sets=())
    environment = {**training_environment, "MXNET_MKLDNN_ENABLED": onednn}
    names = ("m1", "s20", "r50")
    paths = (tmp_path / "data", tmp_path / "model" / "model")
    found = ask("slopes.py", patched / "src", environment, *paths, *names)
    assert [len(found[name]) for name in names] == [3, 3, 3]
    for measured in found.values():
        for name, by_gradient, by_difference in measured:
            assert by_gradient == pytest.approx(by_difference, rel=0.1), name


def test_networks_are_those_of_upstream(
    patched: Path, unpatched: Path, training_environment: dict[str, str]
) -> None:
    """The composed PReLU computes the same, and folds back into the network of upstream."""
    prelus = {"y1": 33, "m1": 27, "s20": 20, "r50": 25, "d121": 2, "p92": 2}
    new, old = (
        ask("prelu.py", path / "src", training_environment, *prelus)
        for path in (patched, unpatched)
    )
    for name, count in prelus.items():
        assert new["networks"][name]["nodes"] == old["networks"][name]["nodes"], name
        assert new["networks"][name]["prelu"] == 0, name
        assert old["networks"][name]["prelu"] == count, name
    composed, single = new["odd"]
    assert composed == single == old["odd"][0]
