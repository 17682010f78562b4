"""Training starts from the backbone of a checkpoint, whatever its head."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher.data.synth import synthesise
from mfn_patcher.errors import ExitCode
from tests.support.tool import Tool
from tests.support.trained import SHARING
from tests.support.upstream import PROGRAMS

pytestmark = [pytest.mark.mxnet, SHARING]

EMBEDDING = [
    "fc1_beta", "fc1_gamma", "fc1_moving_mean", "fc1_moving_var", "fc1_weight", "pre_fc1_bias",
]  # fmt: skip


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    """A copy of a checkpoint of `trained`, which has 4 identities; a prefix with number 1."""
    saved = trained / "models" / "MobileFaceNet" / "model-y1-softmax"
    prefix = tmp_path / "start"
    for end in ("0001.params", "symbol.json"):
        shutil.copy(f"{saved}-{end}", f"{prefix}-{end}")
    return prefix


def start(
    prefix: Path,
    patched: Path,
    environment: dict[str, str],
    *script: str,
    identities: int = 4,
) -> subprocess.CompletedProcess[str]:
    """Start the script on synthetic faces and leave it when it would train."""
    data = prefix.parent / f"data{identities}"
    if not data.exists():
        synthesise(data, identities=identities, images_per_identity=2, sets=())
    arguments = ["--data-dir", str(data), "--prefix", str(prefix.parent / "m" / "m")]
    arguments += ["--target", "", "--per-batch-size", "2", "--network", "y1", "--emb-size", "128"]
    return subprocess.run(
        [sys.executable, PROGRAMS / "start.py", *arguments, *script, "--pretrained", f"{prefix},1"],
        cwd=patched / "src",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("identities", "script", "random"),
    [
        (4, (), []),
        (6, (), ["fc7_weight"]),
        (4, ("--emb-size", "64"), [*EMBEDDING, "fc7_weight"]),
    ],
    ids=["all fits", "identities", "embedding size"],
)
def test_the_backbone_is_kept(
    checkpoint: Path,
    patched: Path,
    training_environment: dict[str, str],
    *,
    identities: int,
    script: tuple[str, ...],
    random: list[str],
) -> None:
    ran = start(checkpoint, patched, training_environment, *script, identities=identities)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["equal"]
    assert sorted(found["random"]) == sorted(random)
    assert found["kept"] > 200
    lines = [line for line in ran.stdout.splitlines() if line.startswith("starting at random:")]
    assert sorted(line.split()[3] for line in lines) == sorted(random)


def spoil(checkpoint: Path, kind: str) -> None:
    file = Path(f"{checkpoint}-0001.params")
    if kind == "torn":
        file.write_bytes(file.read_bytes()[:-100])
    elif kind != "network":
        whole = file.with_name("whole.params")
        file.rename(whole)
        subprocess.run([sys.executable, PROGRAMS / "spoil.py", whole, f"{kind}={file}"], check=True)


@pytest.mark.parametrize(
    ("kind", "script", "reason"),
    [
        ("network", ("--network", "m1"), "it belongs to another network: "),
        ("torn", (), "it is missing, truncated or not a checkpoint: "),
        ("diverged", (), "fc1_weight has values that are NaN or infinite"),
    ],
)
def test_what_does_not_fit_is_refused(
    checkpoint: Path,
    patched: Path,
    training_environment: dict[str, str],
    *,
    kind: str,
    script: tuple[str, ...],
    reason: str,
) -> None:
    spoil(checkpoint, kind)
    ran = start(checkpoint, patched, training_environment, *script)
    assert ran.returncode == 1
    assert f"cannot start from {checkpoint}-0001.params: {reason}" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_training_on_other_identities(
    checkpoint: Path, workspace: Path, tool: Tool, tmp_path: Path
) -> None:
    """And a torn checkpoint is refused before anything is moved or recorded."""
    synthesise(tmp_path / "data", identities=6, images_per_identity=2, sets=())
    command: list[str | Path] = ["train", "-w", workspace, "--stage", "3", "--cpu"]
    command += ["--batch-size", "2", "--max-steps", "1", "--checkpoint-every", "1"]
    command += [
        "--skip-accuracy-gate",
        "--data-dir",
        tmp_path / "data",
        "--pretrained",
        f"{checkpoint},1",
    ]
    ran = tool(*command, "--", "--target", "")
    assert ran.code == 0, ran.err
    assert (
        "fc7_weight will start at random, not from start-0001.params: it was trained with 4 "
        "identities, the data set has 6"
    ) in ran.err
    assert len(list((workspace / "runs").iterdir())) == 1

    ran = tool(*command, "--", "--target", "", "--network", "m1")
    assert ran.code == ExitCode.ERROR
    assert f"failed: training cannot start from {checkpoint}-0001.params: it belongs to" in ran.err
    assert "Name another checkpoint with --pretrained." in ran.err
    shutil.rmtree(workspace / "runs")

    spoil(checkpoint, "torn")
    ran = tool(*command, "--", "--target", "")
    assert ran.code == ExitCode.ERROR
    assert "start-0001.params is truncated or not a checkpoint: it ends after" in ran.err
    assert not (workspace / "runs").exists()
