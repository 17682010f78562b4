"""`verify` on the real code and real MXNet, and that each patch is needed for it to pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher.children import programs
from mfn_patcher.data.synth import synthesise
from mfn_patcher.engine import MXNET
from mfn_patcher.engine.choice import Engine, choose
from mfn_patcher.patching.workspace import Workspace
from mfn_patcher.recipes import loading
from mfn_patcher.training.verify import check_expectations
from tests.support.tool import Tool, validated

pytestmark = pytest.mark.mxnet


@pytest.fixture(scope="module")
def engine() -> Engine:
    return choose(MXNET, sys.executable, os.environ, "")


def failed(workspace: Path, engine: Engine) -> set[tuple[str, str]]:
    """Return the expectations that the code does not meet; the slopes are not measured."""
    checks = check_expectations(Workspace(workspace), loading.load(), engine)
    return {(check.name, check.case) for check in checks if not check.ok}


def edit(workspace: Path, old: str, new: str) -> None:
    script = workspace / "src" / "train_softmax.py"
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new, 1))


def test_all_patches(tool: Tool, patched: Path) -> None:
    ran = tool("verify", "-w", patched, "--json")
    assert ran.code == 0, ran.err
    report = validated("verify", ran.out)
    assert (report["engine"]["name"], report["engine"]["build"]) == ("mxnet", "mxnet 1.9.1")
    assert report["ok"]
    found = {(check["check"], check["case"]): check["found"] for check in report["checks"]}
    assert found["multipliers", "y1, loss type 0"] == (
        "fc1_weight, fc7_weight: lr 0.1, wd 0.0004; other 183 parameters: lr 0.1, wd 4e-05"
    )
    # With oneDNN, which MXNet uses by default; test_slopes.py measures without it.
    assert found["slopes", "a small network, on cpu(0)"] == "6 measured, all of them agree"
    assert found["slopes", "y1, on cpu(0)"] == "9 measured, all of them agree"


def test_without_the_recipe(tool: Tool, workspace: Path) -> None:
    """Nor the patch of PReLU; with oneDNN, slopes of the network have right gradients by chance."""
    tool("apply", "-w", workspace, "--stack", "python3")
    ran = tool("verify", "-w", workspace)
    assert ran.code == 4
    engine, *lines = ran.out.splitlines()
    assert engine.startswith("engine: MXNet (mxnet 1.9.1): ")
    assert [line for line in lines if not line.startswith(" ")] == [
        "failed  arguments (y1, loss type 0)",
        "failed  multipliers (y1, loss type 0)",
        "ok      arguments (y1, loss type 4)",
        "failed  multipliers (y1, loss type 4)",
        "failed  initializer (y1)",
        "ok      initializer (r50)",
        "failed  slopes (a small network, on cpu(0))",
        "ok      slopes (y1, on cpu(0))",
    ]
    # Gradients come out multiplied by the slopes.
    found = lines[lines.index("failed  slopes (a small network, on cpu(0))") + 2]
    for slope in ("0.25", "0.50", "0.10", "-0.30", "0.70"):
        assert f"] times {slope}" in found
    expected = "arguments, multipliers, initializer, slopes"
    assert ran.err == f"mfn-patch: the code does not do what the recipe expects: {expected}\n"


@pytest.mark.parametrize("command", [("revert",), ("apply", "--stack", "recipe")])
def test_code_of_python_2(tool: Tool, workspace: Path, command: tuple[str, ...]) -> None:
    assert tool(*command, "-w", workspace).code == 0
    ran = tool("verify", "-w", workspace)
    assert ran.code == 4
    assert "the code is Python 2, because stack python3 is not applied" in ran.err
    assert "train_softmax.py uses xrange" in ran.err


def test_broken_fc7_without_bias(workspace: Path, engine: Engine) -> None:
    edit(
        workspace,
        "weight = _weight, no_bias = True, num_hidden=args.num_classes, name='fc7')",
        "weight = _weight, bias = mx.symbol.Variable('fc7_bias'), "
        "num_hidden=args.num_classes, name='fc7')",
    )
    assert failed(workspace, engine) == {("arguments", "y1, loss type 0")}


def test_broken_multipliers(workspace: Path, engine: Engine) -> None:
    edit(workspace, ", sym=sym)", ")")
    assert failed(workspace, engine) == {
        ("multipliers", "y1, loss type 0"),
        ("multipliers", "y1, loss type 4"),
    }


def test_names_of_parameters_would_take_decay_off_biases(workspace: Path, engine: Engine) -> None:
    edit(
        workspace, ", sym=sym)", ", sym=sym, param_idx2name=dict(enumerate(sym.list_arguments())))"
    )
    assert ("multipliers", "y1, loss type 4") in failed(workspace, engine)


def test_broken_initializer(workspace: Path, engine: Engine) -> None:
    edit(workspace, "if args.network[0]=='r':", "if args.network[0]=='r' or args.network[0]=='y':")
    assert failed(workspace, engine) == {("initializer", "y1")}


def test_the_learning_rate_multiplier(
    patched: Path, tmp_path: Path, training_environment: dict[str, str]
) -> None:
    synthesise(tmp_path / "data", identities=2, images_per_identity=2, sets=())
    case = "--network y1 --emb-size 128 --loss-type 4 --per-batch-size 2 --fc7-lr-mult 3 --lr 0.5"
    arguments = [
        *case.split(),
        "--data-dir",
        str(tmp_path / "data"),
        "--prefix",
        str(tmp_path / "m" / "m"),
    ]
    report = tmp_path / "report.json"
    subprocess.run(
        programs.command(sys.executable, "dry_run", str(report)),
        cwd=patched / "src",
        env=training_environment,
        input=json.dumps([arguments]),
        text=True,
        check=True,
        capture_output=True,
    )
    (handed,) = json.loads(report.read_text())["cases"]
    rates = {name: lr for name, (lr, _) in handed["parameters"].items()}
    assert rates.pop("fc7_weight") == pytest.approx(1.5)
    assert set(rates.values()) == {0.5}
