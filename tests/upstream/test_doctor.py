"""The doctor with the real upstream and MXNet: a machine that can train, and each fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.data.synth import synthesise
from mfn_patcher.recipes import loading
from mfn_patcher.remedies import install
from tests.support.tool import Tool, validated

pytestmark = pytest.mark.mxnet

PROGRAM = Path(__file__).parent / "programs" / "memory.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "faces"
    synthesise(folder, identities=4, images_per_identity=6)
    return folder


def examine(tool: Tool, code: int, *arguments: str | Path) -> dict[str, Any]:
    ran = tool("doctor", "--json", *arguments)
    assert ran.code == code, ran.out + ran.err
    found: dict[str, Any] = validated("doctor", ran.out)
    assert found["ok"] == (code == 0)
    return found


def of(found: dict[str, Any], check: str) -> list[dict[str, str]]:
    return [finding for finding in found["findings"] if finding["check"] == check]


def test_a_machine_without_a_gpu(tool: Tool, patched: Path, data: Path) -> None:
    found = examine(tool, 0, "-w", patched, "--data-dir", data, "--batch-size", "8")
    (gpu,) = (finding for finding in found["findings"] if finding["level"] != "ok")
    assert (gpu["level"], gpu["check"]) == ("warning", "GPU")
    assert "--cpu" in gpu["remedy"]
    assert all(library["path"] for library in found["libraries"])
    assert found["driver"] is None
    need = found["estimate"]
    assert (need["identities"], need["checkpoints"]) == (4, 20 + 80 + 25)
    # The backbone, 128 numbers per identity, the momentum of both, and BatchNorm's moving averages.
    parameters = 4 * (1_003_264 + 4 * 128)
    assert 2 * parameters < need["checkpoint_bytes"] < 2 * 4 * 1_030_000
    # The size of the parameters, three times: parameters, gradients and momentum.
    fixed = need["gpu_bytes"] - need["activation_bytes"]
    assert 3 * parameters <= fixed < 3 * 4 * 1_030_000
    assert 8 * 40 < need["gpu_bytes"] / 2**20 < 8 * 42 + 30


def test_gpus_requested_from_a_cpu_build(tool: Tool, patched: Path, data: Path) -> None:
    common = ("-w", patched, "--data-dir", data, "--batch-size", "8")
    ran = tool("doctor", *common, "--gpus", "0,1")
    assert ran.code == 4
    gpu = "failed  GPU: no GPU is used: MXNet is a CPU build\n        Train with --cpu, or "
    assert f"\n{gpu}" in ran.out
    assert f"`{install('cu112')}`" in ran.out
    assert "4 images per step and 4 identities need about" in ran.out
    assert "estimated from MXNet's own memory plan, not measured on a GPU" in ran.out


def test_an_empty_folder(tool: Tool, tmp_path: Path) -> None:
    found = examine(tool, 4, "-w", tmp_path / "none")
    failed = {f["check"]: f["remedy"] for f in found["findings"] if f["level"] == "failed"}
    assert set(failed) == {"workspace", "data set"}
    assert "mfn-patch apply" in failed["workspace"]
    assert found["estimate"] is None
    (disk,) = of(found, "disk")
    assert disk["level"] == "warning"


def test_a_workspace_with_other_patches(tool: Tool, workspace: Path, data: Path) -> None:
    common = ("-w", workspace, "--data-dir", data, "--batch-size", "8")
    script = workspace / "src" / "train_softmax.py"
    script.write_text(script.read_text() + "\n")
    (edited,) = of(examine(tool, 0, *common), "workspace")
    assert (edited["level"], "src/train_softmax.py" in edited["detail"]) == ("warning", True)
    assert tool("apply", "-w", workspace, "--force", "--stack", "recipe").code == 0
    (missing,) = of(examine(tool, 4, *common), "workspace")
    assert missing["level"] == "failed"
    assert "python3/0001" in missing["detail"]
    assert missing["remedy"] == "Run `mfn-patch apply`."


def own_recipe(path: Path, old: str, new: str) -> Path:
    text = loading.read_text("mobilefacenet")[0].replace('name = "mobilefacenet"', 'name = "own"')
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_arguments_that_the_script_rejects(
    tool: Tool, patched: Path, data: Path, tmp_path: Path
) -> None:
    """Otherwise, a bad argument of the last stage would show only after the stages before it."""
    path = own_recipe(tmp_path / "own.toml", '"--margin-s", "128"', '"--margin-s", "much"')
    common = ("-w", patched, "--data-dir", data, "--batch-size", "8", "--recipe", path)
    (script,) = of(examine(tool, 4, *common), "script")
    assert script["level"] == "failed"
    assert script["detail"].endswith("argument --margin-s: invalid float value: 'much'")


def test_a_batch_and_checkpoints_that_are_too_large(
    tool: Tool, patched: Path, data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.toml"
    text = own_recipe(path, "checkpoint_every = 2000", "checkpoint_every = 1").read_text()
    text = text.replace("softmax,20", "softmax,40000").replace("arcface,80", "arcface,160000")
    # A thousand times the documented number of steps: a petabyte.
    path.write_text(text.replace("steps = 50000", "steps = 250000000"))
    found = examine(tool, 4, "-w", patched, "--data-dir", data, "--recipe", path)
    assert {finding["level"] for finding in of(found, "data set")} == {"failed"}
    assert "24 images are fewer than a batch of 512" in of(found, "data set")[0]["detail"]
    (disk,) = of(found, "disk")
    assert disk["level"] == "failed"
    assert disk["detail"].startswith("250200000 checkpoints of ")
    assert "--models-dir" in disk["remedy"]


def test_a_missing_interpreter(tool: Tool, patched: Path, tmp_path: Path) -> None:
    found = examine(tool, 4, "-w", patched, "--python", tmp_path / "none")
    (failed,) = of(found, "interpreter")
    assert failed["remedy"] == "Name one of Python 3.10 to 3.14."
    assert (found["libraries"], found["estimate"]) == (None, None)


def test_the_memory_plan_matches_the_memory_used(patched: Path, data: Path, tmp_path: Path) -> None:
    """On the CPU, without oneDNN's buffers, resident memory grows by the planned size."""
    ran = subprocess.run(
        [sys.executable, PROGRAM, data, tmp_path / "model", "16"],
        cwd=patched / "src",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = json.loads(ran.stdout.splitlines()[-1])
    assert 0.95 < said["grew"] / said["planned"] < 1.05
