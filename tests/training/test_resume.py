"""What remains of a chain of stages after an interruption, and what cannot be resumed.

A small script stands in for the training script; the real one resumes in `tests/upstream`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.data.synth import synthesise
from mfn_patcher.recipes import loading
from mfn_patcher.runs import record
from mfn_patcher.runs.code import Code
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.errors import TrainingError
from mfn_patcher.training.options import Options
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.planner import plan_chain
from mfn_patcher.training.resume import ResumeError, remaining
from mfn_patcher.training.run import run_stages
from tests.support.training import read_record

# Saves whole checkpoints with what it was told; ends before the one that the file "stop" names.
SCRIPT = """
import hashlib, json, os, pathlib, sys, time
arguments = {name[2:].replace("-", "_"): v for name, v in zip(sys.argv[1::2], sys.argv[2::2])}
value = dict(zip(sys.argv[1::2], sys.argv[2::2]))
prefix = pathlib.Path(value["--prefix"])
prefix.parent.mkdir(parents=True, exist_ok=True)
stop = pathlib.Path("stop")
print("begin after", value.get("--resume", 0), flush=True)
verbose, begin = int(value["--verbose"]), int(value.get("--resume", 0))
for number in range(begin + 1, int(value["--max-steps"]) // verbose + 1):
    if stop.exists() and stop.read_text() == f"{value['--loss-type']} {number}":
        pathlib.Path(f"{prefix}-{number:04d}.params.partial").write_text("torn")
        os.kill(os.getpid(), 9)
    files = {}
    for kind in ("params", "states"):
        path = pathlib.Path(f"{prefix}-{number:04d}.{kind}")
        path.write_text(f"{kind} {' '.join(sys.argv)}")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files[kind] = {"bytes": path.stat().st_size, "sha256": sha256}
    pathlib.Path(f"{prefix}-symbol.json").write_text("{}")
    manifest = {"saved": time.time(), "step": number * verbose, "files": files,
                "arguments": {"lr": 0.1, **arguments}}
    pathlib.Path(f"{prefix}-{number:04d}.json").write_text(json.dumps(manifest))
"""


@dataclasses.dataclass(frozen=True)
class Bench:
    """A workspace, and the options that runs in it have in common."""

    context: RunContext
    options: Options
    log: pytest.LogCaptureFixture

    def plans(self, stages: str, **options: Any) -> tuple[StagePlan, ...]:
        documented = loading.load()
        return plan_chain(
            documented, documented.choose(stages), dataclasses.replace(self.options, **options)
        )

    def train(self, stages: str, **options: Any) -> list[Path]:
        return run_stages(self.plans(stages, **options), self.context, io.BytesIO())

    def stop(self, stages: str, loss: int, number: int, **options: Any) -> None:
        """Train until the script is killed before it saves a checkpoint."""
        stop = self.context.source / "stop"
        stop.write_text(f"{loss} {number}")
        with pytest.raises(TrainingError, match="killed by SIGKILL") as killed:
            self.train(stages, **options)
        assert "out of memory" in killed.value.remedy
        stop.unlink()

    def left(self, stages: str, **options: Any) -> tuple[StagePlan, ...]:
        self.log.clear()
        return remaining(self.plans(stages, **options), self.context)

    def resume(self, stages: str, **options: Any) -> list[Path]:
        return run_stages(self.left(stages, **options), self.context, io.BytesIO())

    def on(self, engine: str) -> RunContext:
        return dataclasses.replace(self.context, requested_engine=engine)

    @property
    def models(self) -> Path:
        return self.context.workspace / "models" / "MobileFaceNet"


@pytest.fixture
def bench(
    context_of: Callable[[str, Code], RunContext], data: Path, caplog: pytest.LogCaptureFixture
) -> Bench:
    caplog.set_level("INFO")
    options = Options(
        data_dir=data, cpu=True, batch_size=4, max_steps=15, checkpoint_every=5, seed=3
    )
    return Bench(context_of(SCRIPT, Code()), options, caplog)


def numbers(plans: tuple[StagePlan, ...]) -> list[tuple[int, int | None]]:
    return [(plan.stage.number, plan.resumed_from) for plan in plans]


def test_a_stage_resumes(bench: Bench) -> None:
    bench.stop("2", 0, 3)
    former = read_record(next(bench.context.runs.iterdir()))
    assert (former["seed"], former["resumed_from"], former["resumed_checkpoint"]) == (3, None, None)
    before = {path: path.read_bytes() for path in bench.models.glob("*-000[12].*")}
    (folder,) = bench.resume("2")
    assert (folder / record.LOG).read_text() == "begin after 2\n"
    entry = read_record(folder)
    assert entry["outcome"] == "completed"
    (other,) = set(bench.context.runs.iterdir()) - {folder}
    assert (entry["resumed_from"], entry["resumed_checkpoint"]) == (other.name, 2)
    assert (entry["archive"], entry["last_checkpoint"]) == (None, 3)
    assert {path: path.read_bytes() for path in before} == before, "nothing was written over"
    assert sorted(checkpoints.find(bench.models / "model-y1-softmax")) == [1, 2, 3]
    assert not list(bench.models.glob("*.partial"))


def test_the_command_names_the_checkpoint_to_resume_from(bench: Bench) -> None:
    bench.stop("2", 0, 3)
    (plan,) = bench.left("2")
    assert plan.arguments[-2:] == ("--resume", "2")
    assert plan.added[-1].reason.startswith("resumes at step 10,")


def test_stopped_again_and_again(bench: Bench) -> None:
    bench.stop("2", 0, 2)
    stop = bench.context.source / "stop"
    for number in (2, 3):
        stop.write_text(f"0 {number}")
        with pytest.raises(TrainingError) as error:
            bench.resume("2")
        assert f"--resume continues from checkpoint {number - 1}." in error.value.remedy
    stop.unlink()
    (folder,) = bench.resume("2")
    assert read_record(folder)["resumed_checkpoint"] == 2


def test_before_the_first_checkpoint_it_starts_over(bench: Bench) -> None:
    bench.stop("2", 0, 1)
    (folder,) = bench.resume("2")
    entry = read_record(folder)
    assert entry["resumed_from"]
    assert entry["resumed_checkpoint"] is None
    assert "so it starts over" in bench.log.messages[0]
    assert (folder / record.LOG).read_text() == "begin after 0\n"


def test_a_complete_stage(bench: Bench) -> None:
    bench.train("2")
    assert bench.left("2") == ()
    assert "stage 2 (softmax) is complete" in bench.log.messages[0]
    assert numbers(bench.left("2", max_steps=25)) == [(2, 3)], "it may be made longer"


def test_a_chain_resumes_at_the_right_stage(bench: Bench) -> None:
    bench.stop("all", 0, 2)
    assert numbers(bench.left("all")) == [(2, 1), (3, None), (4, None)]
    bench.resume("2")
    assert numbers(bench.left("all")) == [(3, None), (4, None)]
    bench.stop("3,4", 4, 3)
    assert numbers(bench.left("all")) == [(3, 2), (4, None)]
    bench.resume("3")
    assert numbers(bench.left("all")) == [(4, None)]
    # Stage 4 has the prefix of stage 3, whose last checkpoint it starts from.
    bench.stop("4", 4, 1)
    assert numbers(bench.left("all")) == [(4, None)]
    bench.stop("4", 4, 2)
    assert numbers(bench.left("all")) == [(4, 1)]
    (folder,) = bench.resume("all")
    assert read_record(folder)["resumed_checkpoint"] == 1
    assert bench.left("all") == ()
    # Another run from the start is the one that was stopped last.
    bench.stop("2", 0, 2)
    assert numbers(bench.left("all")) == [(2, 1), (3, None), (4, None)]


def test_a_later_stage_has_saved_there_since(bench: Bench) -> None:
    bench.train("2,3")
    bench.stop("4", 4, 2)
    with pytest.raises(ResumeError, match=r"stage 4 \(finetune\) has saved to") as error:
        bench.left("3")
    assert "--stage 4" in error.value.remedy


def test_copies_that_have_lost_their_times(bench: Bench) -> None:
    """As `cp -r` makes them; the manifests say which run has saved which checkpoint."""
    bench.train("2,3")
    bench.stop("4", 4, 2)
    later = time.time() + 60
    for path in bench.models.glob("*-0*"):
        os.utime(path, (later, later))
    with pytest.raises(ResumeError, match=r"stage 4 \(finetune\) has saved to"):
        bench.left("3")
    assert numbers(bench.left("all")) == [(4, 1)]
    with pytest.raises(TrainingError, match="saved by stage 4"):
        bench.train("4", pretrained=None, max_steps=5)


def test_no_run_to_resume(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"no run of stage 2 \(softmax\) to resume"):
        bench.left("2")
    bench.stop("2", 0, 2)
    with pytest.raises(ResumeError) as error:
        bench.left("3")
    assert "no run of stage 3 (arcface)" in str(error.value)
    assert "the last run was stage 2 (softmax)" in str(error.value)
    with pytest.raises(ResumeError, match="no run of stage 2") as error:
        bench.left("2", models_dir=tmp_path / "elsewhere")
    assert "--models-dir" in error.value.remedy


def test_another_training_is_refused(bench: Bench, data: Path, tmp_path: Path) -> None:
    bench.stop("2", 0, 3)
    other = tmp_path / "other"
    synthesise(other, identities=3, images_per_identity=4, sets=())
    for options, reason in (
        ({"batch_size": 8}, "batch size 4, now 8 (--batch-size)"),
        ({"data_dir": other}, f"data set {data}, now {other} with other content (--data-dir)"),
        ({"seed": 4}, "--seed 3, now 4 (--seed)"),
        ({"checkpoint_every": 3}, "--verbose 5, now 3 (--checkpoint-every)"),
        ({"script_arguments": ("--lr", "0.2")}, "--lr not given, now 0.2 (in the recipe"),
        ({"pretrained": ("/m/model", 3)}, "started from None, now from /m/model,3 (--pret"),
        ({"gpus": "0,1", "cpu": False}, "4 images per device, now 2 (--gpus, or the number"),
    ):
        with pytest.raises(ResumeError) as error:
            bench.left("2", **options)
        assert reason in str(error.value)
        assert str(error.value).count("\n") == 1, "and for no other reason"


def test_a_copy_of_the_data_set_is_accepted(bench: Bench, data: Path, tmp_path: Path) -> None:
    bench.stop("2", 0, 3)
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    script = ("--target", "lfw", "--data-workers", "1")
    others = {"data_dir": moved, "keep": 2, "script_arguments": script}
    assert numbers(bench.left("2", **others)) == [(2, 2)]


def test_incomplete_checkpoints_are_skipped(bench: Bench) -> None:
    bench.stop("2", 0, 3)
    prefix = bench.models / "model-y1-softmax"
    Path(f"{prefix}-0002.states").write_text("torn")
    assert numbers(bench.left("2")) == [(2, 1)]
    Path(f"{prefix}-0001.json").unlink()
    with pytest.raises(ResumeError, match="is incomplete") as error:
        bench.left("2")
    assert f"--pretrained {prefix},2" in error.value.remedy


def test_a_failure_that_saved_nothing_does_not_hide_the_run_before(bench: Bench) -> None:
    """It was restarted with another option, and its former checkpoints were put back."""
    bench.stop("2", 0, 3)
    script = bench.context.source / "train_softmax.py"
    script.write_text("raise SystemExit('no')")
    with pytest.raises(TrainingError):
        bench.train("2", script_arguments=("--lr", "7"))
    script.write_text(SCRIPT)
    assert numbers(bench.left("2")) == [(2, 2)]


def test_other_code_is_reported(bench: Bench) -> None:
    bench.stop("2", 0, 3)
    assert numbers(bench.left("2")) == [(2, 2)]
    assert bench.log.messages == []
    for changed in (Code(edits=b"a diff"), Code(trainer_sha256="another")):
        bench.log.clear()
        remaining(bench.plans("2"), dataclasses.replace(bench.context, code=changed))
        assert "resumes with different code from that of run" in bench.log.messages[0]


# -- manifests alone ----------------------------------------------------------------------


def lose(bench: Bench, how: str) -> None:
    """Lose the records of all runs."""
    for path in bench.context.runs.glob("*/run.json"):
        if how == "cut short":
            path.write_bytes(path.read_bytes()[:100])
        else:
            shutil.rmtree(path.parent)


@pytest.mark.parametrize("how", ["cut short", "removed"])
def test_without_a_record_the_manifests_are_enough(bench: Bench, how: str) -> None:
    bench.stop("2", 0, 3)
    lose(bench, how)
    (folder,) = bench.resume("2", keep=2, script_arguments=("--data-workers", "1"))
    assert "stage 2 (softmax) has no readable record" in bench.log.messages[0]
    entry = read_record(folder)
    assert (entry["outcome"], entry["resumed_from"], entry["resumed_checkpoint"]) == (
        "completed",
        None,
        2,
    )
    lose(bench, how)
    assert bench.left("2") == (), "it is done"


def test_without_a_record_another_training_is_refused(bench: Bench) -> None:
    bench.stop("2", 0, 3)
    lose(bench, "removed")
    for options, reason in (
        ({"batch_size": 8}, "--per-batch-size 4, now 8"),
        ({"seed": 4}, "--seed 3, now 4 (--seed)"),
        ({"checkpoint_every": 3}, "--verbose 5, now 3 (--checkpoint-every)"),
        ({"script_arguments": ("--lr", "0.2")}, "--lr 0.1, now 0.2 (in the recipe, or"),
    ):
        with pytest.raises(ResumeError) as error:
            bench.left("2", **options)
        assert reason in str(error.value)
        assert str(error.value).count("\n") == 1, "and for no other reason"
    assert numbers(bench.left("2", script_arguments=("--lr", "0.10"))) == [(2, 2)]


def test_without_records_a_chain_resumes_at_the_right_stage(bench: Bench) -> None:
    bench.train("2")
    bench.stop("3,4", 4, 3)
    lose(bench, "removed")
    # Stage 4 saves under the same names, but its arguments are others.
    assert numbers(bench.left("all")) == [(3, 2), (4, None)]
    with pytest.raises(ResumeError, match="with different settings"):
        bench.left("4")
    bench.resume("3")
    bench.stop("4", 4, 2)
    lose(bench, "cut short")
    assert numbers(bench.left("all")) == [(4, 1)]


def test_a_manifest_of_a_run_with_a_record_is_no_orphan(bench: Bench) -> None:
    bench.train("2")
    with pytest.raises(ResumeError, match="no run of stage 3"):
        bench.left("3")


# -- engines ------------------------------------------------------------------------------


def test_the_other_engine_is_refused_unless_asked_for(bench: Bench) -> None:
    asked = dataclasses.replace(bench, context=bench.on("torch"))
    asked.stop("2", 0, 3)
    with pytest.raises(ResumeError) as error:
        bench.left("2")
    assert "\n  engine torch, now mxnet (--engine mxnet allows it)" in str(error.value)
    assert numbers(asked.left("2")) == [(2, 2)]
    assert bench.log.messages == []
    other = dataclasses.replace(bench, context=bench.on("mxnet"))
    (folder,) = other.resume("2")
    assert bench.log.messages[0].startswith("stage 2 (softmax) resumes on mxnet, as requested")
    assert read_record(folder)["engine"]["name"] == "mxnet"


def test_without_a_record_the_manifest_names_the_engine(bench: Bench) -> None:
    bench.stop("2", 0, 3)
    for path in bench.models.glob("*-000?.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "engine": "torch"}))
    lose(bench, "removed")
    with pytest.raises(ResumeError, match=r"\n  engine torch, now mxnet"):
        bench.left("2")
    asked = dataclasses.replace(bench, context=bench.on("mxnet"))
    assert numbers(asked.left("2")) == [(2, 2)]
    assert bench.log.messages[1].startswith("stage 2 (softmax) resumes on mxnet, as requested")


def test_a_later_stage_may_have_another_engine(bench: Bench) -> None:
    bench.train("2")
    other = dataclasses.replace(bench, context=bench.on("torch"))
    (folder,) = other.train("3")
    assert read_record(folder)["engine"]["name"] == "torch"
    assert read_record(folder)["shell_line"].startswith("PYTHONPATH=")


def test_a_record_from_before_there_were_engines(bench: Bench) -> None:
    bench.stop("2", 0, 3)
    (path,) = bench.context.runs.glob("*/run.json")
    entry = json.loads(path.read_text())
    del entry["engine"]
    path.write_text(json.dumps(entry))
    assert numbers(bench.left("2")) == [(2, 2)]
