"""The real script trains the three stages on a synthetic data set, and nothing is lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher.children.environment import count_cores
from mfn_patcher.data.synth import synthesise
from mfn_patcher.patching.series import load_series
from tests.support.repositories import ROOT
from tests.support.tool import Ran, Tool, validated

pytestmark = pytest.mark.mxnet

# With three images per step, the recipe's learning rate may end in NaN.
SLOWLY = ("--lr", "0.01")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine images: three steps per epoch."""
    folder = tmp_path_factory.mktemp("daten 数据") / "faces"
    synthesise(folder, identities=3, images_per_identity=3, sets=["lfw", "agedb_30"])
    return folder


def train(tool: Tool, workspace: Path, data: Path, *options: str) -> Ran:
    common = ("--cpu", "--batch-size", "3", "--checkpoint-every", "2", "--data-dir", str(data))
    return tool("train", "-w", workspace, *common, *options)


def records(workspace: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_text()) for file in sorted(workspace.glob("runs/*/run.json"))]


def test_three_stages_in_a_chain(
    tool: Tool, workspace: Path, data: Path, training_environment: dict[str, str]
) -> None:
    # So few steps may leave LFW at chance, which the gate is for.
    chain = ("--stage", "2,3,4", "--max-steps", "4", "--skip-accuracy-gate")
    ran = train(tool, workspace, data, *chain, "--", "--target", "lfw", *SLOWLY)
    assert ran.code == 0, ran.err
    out = ran.out
    models = workspace / "models" / "MobileFaceNet"
    for prefix in ("model-y1-softmax", "model-y1-arcface"):
        names = sorted(path.name for path in models.glob(f"{prefix}-*.params"))
        assert names == [f"{prefix}-0001.params", f"{prefix}-0002.params"]
    assert re.findall(r"^saving (\d)", out, re.MULTILINE) == ["1", "2"] * 3
    assert re.findall(r"\[lfw\]\[(\d+)\]Accuracy-Flip", out) == ["2", "4"] * 3
    assert "loading ['../models/MobileFaceNet/model-y1-softmax', '2']" in out
    assert "margin_s=128.0" in out
    assert "rescale_grad is not normalized" not in out

    # Stage 4 has the prefix of stage 3, whose checkpoints are all still there.
    (aside,) = (path for path in models.iterdir() if path.is_dir())
    kept = [f"000{number}.{kind}" for number in (1, 2) for kind in ("json", "params", "states")]
    assert sorted(path.name for path in aside.iterdir()) == [
        f"model-y1-arcface-{name}" for name in (*kept, "symbol.json")
    ]
    last, before = (folder / "model-y1-arcface-0002.params" for folder in (models, aside))
    assert last.read_bytes() != before.read_bytes()

    runs = records(workspace)
    assert [run["outcome"] for run in runs] == ["completed"] * 3
    head = subprocess.run(
        ["git", "-C", workspace, "rev-parse", "HEAD"], stdout=subprocess.PIPE, check=True
    )
    assert {run["chain_commit"] for run in runs} == {head.stdout.decode().strip()}

    assert all(len(run["patches"]) == len(load_series(ROOT).patches) for run in runs)  # type: ignore[arg-type]
    assert not any(run["edited"] for run in runs)
    check_record(tool, workspace)

    verified = verify_checkpoint(workspace, data, training_environment)
    assert re.search(r"\[lfw\]Accuracy-Flip: [01]\.\d{5}", verified)


def check_record(tool: Tool, workspace: Path) -> None:
    """Of the last stage, the log, the files written meanwhile, and the page tell the same."""
    shown = validated("runs-show", tool("runs", "show", "last", "-w", workspace, "--json").out)
    told = shown["log"]["verifications"]
    assert [(entry["set"], entry["step"], entry["checkpoint"]) for entry in told] == [
        ("lfw", 2, 1),
        ("lfw", 4, 2),
    ]
    assert shown["log"]["runs"][0]["arguments"]["margin_s"] == 128
    assert shown["log"]["runs"][0]["steps_per_epoch"] == 3
    folder = Path(shown["folder"])
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [line["accuracy"] for line in lines if line["event"] == "verification"] == [
        entry["accuracy"] for entry in told
    ]
    assert len((folder / "verification.csv").read_text().splitlines()) == 3
    (trained,) = (line for line in lines if line["event"] == "speed")
    assert (trained["step"], trained["loss"]) == (3, shown["log"]["runs"][0]["loss"])
    assert 0 <= trained["accuracy"] <= 1
    assert tool("report", "last", "-w", workspace).code == 0
    page = (folder / "report.html").read_text()
    assert "stage 4 goal" in page
    assert "Training loss" in page


def verify_checkpoint(workspace: Path, data: Path, environment: dict[str, str]) -> str:
    """Run upstream's own eval/verification.py on the CPU."""
    model = workspace / "models" / "MobileFaceNet" / "model-y1-arcface,2"
    arguments = ["--data-dir", str(data), "--model", str(model), "--gpu", "-1", "--target", "lfw"]
    ran = subprocess.run(
        [sys.executable, "eval/verification.py", *arguments, "--batch-size", "8"],
        cwd=workspace / "src",
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return ran.stdout


def test_one_stage_after_another_by_themselves(tool: Tool, workspace: Path, data: Path) -> None:
    short = ("--max-steps", "2", "--", "--target", "", *SLOWLY)
    refused = train(tool, workspace, data, "--stage", "3", *short)
    assert refused.code == 1
    assert "mfn-patch train --stage 2" in refused.err
    assert train(tool, workspace, data, "--stage", "softmax", *short).code == 0
    assert train(tool, workspace, data, "--stage", "3", *short).code == 0
    assert (workspace / "models" / "MobileFaceNet" / "model-y1-arcface-0001.params").exists()


def test_a_script_that_fails_is_reported_and_costs_no_checkpoint(
    tool: Tool, workspace: Path, data: Path
) -> None:
    short = ("--stage", "2", "--max-steps", "2", "--", "--target", "")
    assert train(tool, workspace, data, *short).code == 0
    models = workspace / "models" / "MobileFaceNet"
    before = {path.name: path.read_bytes() for path in models.iterdir()}
    ran = train(tool, workspace, data, *short, "--no-such-option")
    assert ran.code == 1
    assert "unrecognized arguments: --no-such-option" in ran.err
    assert "output.log" in ran.err
    assert {path.name: path.read_bytes() for path in models.iterdir()} == before
    assert records(workspace)[-1]["outcome"] == "failed"


def test_a_loss_that_is_no_number_stops_the_script(
    tool: Tool, workspace: Path, tmp_path: Path
) -> None:
    # The script tells its speed, and with it the loss, after 21 steps of an epoch.
    synthesise(tmp_path / "faces", identities=4, images_per_identity=12, sets=())
    steps = ("--stage", "2", "--max-steps", "45", "--checkpoint-every", "20", "--batch-size", "2")
    diverging = ("--", "--lr", "1e20", "--target", "")
    ran = train(tool, workspace, tmp_path / "faces", *steps, *diverging)
    assert ran.code == 1
    assert "stage 2 (softmax) was stopped: loss is nan at step 21" in ran.err
    assert "--keep-going" in ran.err
    (run,) = records(workspace)
    assert (run["outcome"], run["last_checkpoint"]) == ("failed", 1)
    resumed = train(tool, workspace, tmp_path / "faces", *steps, "--resume", *diverging)
    assert resumed.code == 1
    assert "has values that are NaN or infinite" in resumed.err


def test_a_verification_that_is_not_finite_stops_the_script_or_is_survived(
    tool: Tool, workspace: Path, data: Path
) -> None:
    diverging = ("--", "--target", "lfw,agedb_30", "--lr", "1e8")
    steps = ("--stage", "2", "--max-steps", "4", "--checkpoint-every", "2")
    ran = train(tool, workspace, data, *steps, *diverging)
    assert ran.code == 1
    assert "Traceback" not in ran.out + ran.err
    assert re.search(r"was stopped: \w+ of lfw is (nan|inf) at step [24]\. .*checkpoint", ran.err)

    ran = train(tool, workspace, data, *steps, "--keep-going", *diverging)
    assert ran.code == 0, ran.err
    assert "[lfw][4]Accuracy-Flip: nan+-nan" in ran.out
    assert "[agedb_30][4]Accuracy-Flip: nan+-nan" in ran.out
    (run, last) = records(workspace)
    assert (run["outcome"], last["outcome"]) == ("failed", "completed")
    # No stage continues from it by itself.
    arcface = ("--stage", "3", "--max-steps", "4", "--checkpoint-every", "2")
    refused = train(tool, workspace, data, *arcface, "--", "--target", "lfw")
    assert refused.code == 1
    assert "LFW accuracy is nan" in refused.err


def test_every_core_computes(
    tool: Tool, workspace: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each child that computes on the CPU gets OMP_NUM_THREADS set to the number of cores.

    The stub interpreter logs the value, then runs with a single thread: with more, threads would
    spend most of the time waiting for each other, because other tests run at the same time.
    """
    seen = tmp_path / "seen"
    python = tmp_path / "python"
    python.write_text(f'''#!/bin/sh
for argument; do
  case "$argument" in
    *.py|evaluate|dry_run) echo "$(basename "$argument") ${{OMP_NUM_THREADS-}}" >> "{seen}";;
  esac
done
OMP_NUM_THREADS=1 exec "{sys.executable}" "$@"
''')
    python.chmod(0o755)
    common = ("-w", workspace, "--python", python)
    steps = ("--batch-size", "2", "--checkpoint-every", "1", "--max-steps", "1")
    short = (*steps, "--", "--target", "")
    model = workspace / "models" / "MobileFaceNet" / "model-y1-softmax,1"
    monkeypatch.delenv("OMP_NUM_THREADS")
    train = ("train", "--stage", "2", "--cpu", "--data-dir", data, *common, *short)
    evaluate = ("eval", "--model", model, "--cpu", "--target", "lfw", "--data-dir", data, *common)
    for command in (train, evaluate, ("verify", *common)):
        ran = tool(*command)
        assert ran.code == 0, ran.err
    told = dict(line.split(" ") for line in seen.read_text().splitlines())
    for script in ("train_softmax.py", "evaluate", "dry_run"):
        assert told[script] == str(count_cores()), script
