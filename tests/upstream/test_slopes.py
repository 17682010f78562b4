"""The gradients of PReLU's slopes, which MXNet since 1.3 computes wrongly by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.data.synth import synthesise
from tests.support.tool import Tool, validated

pytestmark = pytest.mark.mxnet

PROGRAMS = Path(__file__).parent / "programs"
WITHOUT = ("--without", "gradients/0001-prelu-slopes")
# MXNet plans memory in another way for oneDNN, which GPUs do not have.
ONEDNN = pytest.mark.parametrize("onednn", ["1", "0"])


def ask(program: str, source: Path, environment: dict[str, str], *arguments: str | Path) -> Any:
    ran = subprocess.run(
        [sys.executable, str(PROGRAMS / program), *arguments],
        cwd=source,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout.splitlines()[-1])


@ONEDNN
def test_verify_measures_them(
    tool: Tool, workspace: Path, monkeypatch: pytest.MonkeyPatch, onednn: str
) -> None:
    """With the patch they are right; without it, those that the planner allows are wrong."""
    monkeypatch.setenv("MXNET_MKLDNN_ENABLED", onednn)
    ran = tool("verify", "-w", workspace, "--json")
    assert ran.code == 0, ran.err
    found = {
        check["case"]: check["found"]
        for check in validated("verify", ran.out)["checks"]
        if check["check"] == "slopes"
    }
    assert found == {
        "a small network, on cpu(0)": "6 measured, all of them agree",
        "y1, on cpu(0)": "9 measured, all of them agree",
    }

    assert tool("apply", "-w", workspace, *WITHOUT).code == 0
    ran = tool("verify", "-w", workspace)
    assert ran.code == 4
    assert ran.err == "mfn-patch: the code does not do what the recipe expects: slopes\n"
    for slope in (0.25, 0.5, 0.1, -0.3, 0.7):
        assert f"] times {slope:.2f}" in ran.out
    assert ("failed  slopes (y1, on cpu(0))" in ran.out) is (onednn == "0")
    assert ("res_4_block3_conv_sep_relu_gamma times 0.25, " in ran.out) is (onednn == "0")


@ONEDNN
def test_other_networks(
    patched: Path, tmp_path: Path, training_environment: dict[str, str], onednn: str
) -> None:
    synthesise(tmp_path / "data", identities=2, images_per_identity=2)
    environment = {**training_environment, "MXNET_MKLDNN_ENABLED": onednn}
    names = ("m1", "s20", "r50")
    paths = (tmp_path / "data", tmp_path / "model" / "model")
    found = ask("slopes.py", patched / "src", environment, *paths, *names)
    assert [len(found[name]) for name in names] == [3, 3, 3]
    for measured in found.values():
        for name, by_gradient, by_difference in measured:
            assert by_gradient == pytest.approx(by_difference, rel=0.1), name


def test_networks_are_those_of_upstream(
    tool: Tool, patched: Path, workspace: Path, training_environment: dict[str, str]
) -> None:
    """What PReLU is composed of computes the same, and folds back into what upstream has."""
    prelus = {"y1": 33, "m1": 27, "s20": 20, "r50": 25, "d121": 2, "p92": 2}
    assert tool("apply", "-w", workspace, *WITHOUT).code == 0
    new, old = (
        ask("prelu.py", path / "src", training_environment, *prelus)
        for path in (patched, workspace)
    )
    for name, count in prelus.items():
        assert new["networks"][name]["nodes"] == old["networks"][name]["nodes"], name
        assert new["networks"][name]["prelu"] == 0, name
        assert old["networks"][name]["prelu"] == count, name
    composed, single = new["odd"]
    assert composed == single == old["odd"][0]
