"""Running stages: the checks before, the records, and the errors after.

A small script stands in for the training script; the real one is trained in `tests/upstream`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mfn_patcher.checkpoints.lock import LockedError, hold, name_holder
from mfn_patcher.checkpoints.selection import SelectionError
from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.data.fingerprint import fingerprint
from mfn_patcher.engine.choice import Engine
from mfn_patcher.errors import ExitCode
from mfn_patcher.recipes import loading
from mfn_patcher.runs import record
from mfn_patcher.runs.code import AppliedPatch, Code
from mfn_patcher.trainer.mfn_trainer.layout import symbol_file
from mfn_patcher.training import context as run_context
from mfn_patcher.training import preflight, process
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.errors import TrainingError, TrainingInterruptedError
from mfn_patcher.training.options import Options
from mfn_patcher.training.planner import plan_chain
from mfn_patcher.training.run import run_stages
from mfn_patcher.training.watch.gate import AccuracyGateError
from mfn_patcher.training.watch.supervision import DEFAULT, Supervision
from tests.support.training import read_record

# Saves checkpoints numbered as the real script numbers them, with what it was started from.
SCRIPT = """
import pathlib, signal, sys, time
value = dict(zip(sys.argv[1::2], sys.argv[2::2]))
prefix = pathlib.Path(value["--prefix"])
prefix.parent.mkdir(parents=True, exist_ok=True)
print("started", value["--loss-type"], value.get("--pretrained"), flush=True)
if "--pretrained" in value:
    name, number = value["--pretrained"].rsplit(",", 1)
    start = pathlib.Path(f"{name}-{int(number):04d}.params").read_text()
if "--fail" in value:
    sys.exit("it went wrong")
if "--says" in value:
    print(value["--says"], flush=True)
if "--wait" in value:
    print("waiting", flush=True)
    time.sleep(60)
for number in range(1, int(value["--max-steps"]) // int(value["--verbose"]) + 1):
    pathlib.Path(f"{prefix}-{number:04d}.params").write_text(f"{value['--lr-steps']} {number}")
    pathlib.Path(f"{prefix}-symbol.json").write_text("{}")
"""

CODE = Code("a" * 40, "c" * 40, (AppliedPatch("s/0001-x.patch", "d" * 64, "c" * 40),), b"a diff")


@pytest.fixture
def context(context_of: Callable[[str, Code], RunContext]) -> RunContext:
    return context_of(SCRIPT, CODE)


def train(
    context: RunContext,
    data: Path,
    stages: str,
    *script: str,
    output: io.BytesIO | None = None,
    supervision: Supervision = DEFAULT,
) -> list[Path]:
    documented = loading.load()
    options = Options(
        data_dir=data,
        cpu=True,
        batch_size=4,
        max_steps=10,
        checkpoint_every=5,
        script_arguments=script,
    )
    plans = plan_chain(documented, documented.choose(stages), options)
    return run_stages(plans, context, output or io.BytesIO(), supervision)


def models(context: RunContext) -> Path:
    return context.workspace / "models" / "MobileFaceNet"


def test_a_chain(context: RunContext, data: Path) -> None:
    folders = train(context, data, "all")
    records = [read_record(folder) for folder in folders]
    assert [record["outcome"] for record in records] == ["completed"] * 3
    assert [record["last_checkpoint"] for record in records] == [2, 2, 2]
    assert [bool(record["archive"]) for record in records] == [False, False, True]
    assert (folders[0] / "output.log").read_text() == "started 0 None\n"
    assert records[0]["environment"]["CUDA_VISIBLE_DEVICES"] == ""
    assert (records[0]["pin"], records[0]["chain_commit"]) == ("a" * 40, "c" * 40)
    assert records[0]["patches"][0]["patch"] == "s/0001-x.patch"
    assert records[0]["edited"]
    assert (folders[0] / "edits.patch").read_bytes() == b"a diff"
    assert records[0]["data_set"]["sha256"] == fingerprint(data).sha256
    assert (folders[0] / "verification.csv").read_text() == "time,set,step,accuracy,std,xnorm\n"
    assert (folders[0] / "events.jsonl").exists()
    archive = Path(records[2]["archive"])
    assert (archive / "model-y1-arcface-0002.params").read_text().startswith("80000")
    assert (models(context) / "model-y1-arcface-0002.params").read_text().startswith("20000")


def test_pytorch_keeps_what_it_compiles_in_the_workspace(
    context: RunContext, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = Interpreter(sys.executable, "3.11.0", {"torch": "2.13.0"}, ())
    engine = Engine("torch", "torch 2.13.0", "selected", facts)
    monkeypatch.setattr(run_context, "choose", lambda *_, **__: engine)
    (folder,) = train(context, data, "2")
    kept = str(context.runs / ".compiled")
    assert read_record(folder)["environment"]["TORCHINDUCTOR_CACHE_DIR"] == kept


def test_an_event_file_of_tensorboard(context: RunContext, data: Path) -> None:
    (plain,) = train(context, data, "2")
    assert not list(plain.glob("*tfevents*"))
    line = "[lfw][5]Accuracy-Flip: 0.75000+-0.01000"
    (folder,) = train(context, data, "2", "--says", line, supervision=Supervision(tensorboard=True))
    found = EventAccumulator(str(folder))
    found.Reload()
    assert [(each.step, each.value) for each in found.Scalars("verification/lfw")] == [(5, 0.75)]


def test_the_stage_before_is_missing(context: RunContext, data: Path) -> None:
    with pytest.raises(TrainingError) as error:
        train(context, data, "3")
    assert "mfn-patch train --stage 2" in error.value.remedy
    assert not context.runs.exists()


def test_the_stage_before_left_other_checkpoints(context: RunContext, data: Path) -> None:
    train(context, data, "2")
    (models(context) / "model-y1-softmax-0002.params").unlink()
    with pytest.raises(TrainingError) as error:
        train(context, data, "3")
    assert "model-y1-softmax,1" in error.value.remedy


def test_stage_4_does_not_start_from_its_own(context: RunContext, data: Path) -> None:
    train(context, data, "all")
    with pytest.raises(TrainingError, match="was saved by stage 4"):
        train(context, data, "4")


def test_a_stage_of_this_number_of_another_recipe(context: RunContext, data: Path) -> None:
    for folder in train(context, data, "2"):
        record = read_record(folder)
        assert record["recipe"] == "mobilefacenet"
        (folder / "run.json").write_text(json.dumps({**record, "recipe": "mine"}))
    with pytest.raises(TrainingError, match="was saved by stage 2 of mine"):
        train(context, data, "3")


def test_a_failure(context: RunContext, data: Path) -> None:
    train(context, data, "2")
    before = {path.name: path.read_text() for path in models(context).iterdir()}
    with pytest.raises(TrainingError) as error:
        train(context, data, "2,3", "--fail", "1")
    assert "it went wrong" in str(error.value)
    assert "output.log" in f"{error.value} {error.value.remedy}"
    assert {path.name: path.read_text() for path in models(context).iterdir()} == before
    newest = max(context.runs.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    record = read_record(newest)
    assert (record["outcome"], record["exit_status"], record["archive"]) == ("failed", 1, None)
    assert len(list(context.runs.iterdir())) == 2, "stage 3 was not started"


def test_an_interruption(context: RunContext, data: Path) -> None:
    class Watch(io.BytesIO):
        def write(self, chunk: Any) -> int:
            if b"waiting" in bytes(chunk):
                os.kill(os.getpid(), signal.SIGTERM)
            return super().write(chunk)

    with pytest.raises(TrainingInterruptedError) as error:
        train(context, data, "2", "--wait", "1", output=Watch())
    assert error.value.exit_code == ExitCode.INTERRUPTED
    (folder,) = context.runs.iterdir()
    record = read_record(folder)
    assert (record["outcome"], record["signal"]) == ("interrupted", "SIGTERM")


@pytest.mark.parametrize(
    ("file", "message"),
    [("train.idx", "train.idx: is missing"), ("property", "property: is missing")],
)
def test_a_data_set_that_cannot_be_trained_on(
    context: RunContext, data: Path, tmp_path: Path, file: str, message: str
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in data.iterdir():
        if path.name != file:
            os.link(path, broken / path.name)
    with pytest.raises(TrainingError, match=message):
        train(context, broken, "2")


@pytest.mark.parametrize(
    ("target", "warned"), [("own,mine", True), ("own,lfw", False), ("", False)]
)
def test_a_data_set_that_measures_nothing(
    context: RunContext, data: Path, caplog: pytest.LogCaptureFixture, target: str, *, warned: bool
) -> None:
    train(context, data, "2", "--target", target)
    found = [line for line in caplog.messages if "no accuracy will be measured" in line]
    assert bool(found) == warned
    if warned:
        assert "has no own.bin or mine.bin: no accuracy" in found[0]


def test_without_a_workspace(context: RunContext, data: Path) -> None:
    (context.source / "train_softmax.py").unlink()
    # Stage 3 alone starts from a checkpoint that does not exist, either; that is of no use yet.
    for stages in ("2", "3"):
        with pytest.raises(TrainingError) as error:
            train(context, data, stages)
        assert "mfn-patch apply" in error.value.remedy


def test_a_start_without_its_symbol(context: RunContext, data: Path) -> None:
    train(context, data, "2")
    symbol_file(models(context) / "model-y1-softmax").unlink()
    with pytest.raises(SelectionError, match=r"model-y1-softmax-symbol\.json, .*, is missing$"):
        train(context, data, "3")


def test_an_end_without_the_last_checkpoint_is_a_failure(context: RunContext, data: Path) -> None:
    script = context.source / "train_softmax.py"
    script.write_text(SCRIPT.replace("+ 1):", "):"))
    with pytest.raises(TrainingError, match="without saving checkpoint 2"):
        train(context, data, "2")
    (folder,) = context.runs.iterdir()
    record = read_record(folder)
    assert (record["outcome"], record["exit_status"]) == ("failed", 0)
    assert record["last_checkpoint"] == 1


def test_a_checkpoint_that_stayed_counts_only_when_saved_anew(
    context: RunContext, data: Path
) -> None:
    """Stage 4 starts from a checkpoint 2 of its own prefix, and has to save another."""
    train(context, data, "2,3")
    (context.source / "train_softmax.py").write_text("print('did nothing')")
    with pytest.raises(TrainingError, match="without saving checkpoint 2"):
        train(context, data, "4")


def test_a_bug_of_the_tool_closes_the_record(
    context: RunContext, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug of ours")

    train(context, data, "2")
    before = sorted(path.name for path in models(context).iterdir())
    monkeypatch.setattr(process, "run", fail)
    with pytest.raises(RuntimeError):
        train(context, data, "2")
    assert sorted(path.name for path in models(context).iterdir()) == before
    records = [read_record(folder) for folder in context.runs.iterdir()]
    assert sorted(record["outcome"] for record in records) == ["completed", "failed"]


def test_two_runs_never_save_to_one_prefix(context: RunContext, data: Path) -> None:
    """Also one of another workspace, and one that starts while the other is being checked."""
    train(context, data, "2")
    before = sorted(path.stat().st_ino for path in models(context).glob("*-0*"))
    prefix = models(context) / "model-y1-softmax"
    with hold(prefix) as lock:
        with pytest.raises(LockedError, match=r"still running$"):
            train(context, data, "2")
        name_holder(lock, Path("/elsewhere/runs/its-name"))
        where = "still running; its record is in /elsewhere/runs/its-name"
        with pytest.raises(LockedError, match=where):
            train(context, data, "2")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(preflight, "require_free", lambda _: None)
            with pytest.raises(LockedError, match="still running"):
                train(context, data, "2")
        after = sorted(path.stat().st_ino for path in models(context).glob("*-0*"))
        assert after == before
        train(context, data, "3")
    train(context, data, "2")
    assert not list(models(context).glob("*.lock"))


def test_the_script_holds_the_lock_though_the_tool_was_killed(
    context: RunContext, data: Path
) -> None:
    script = context.source / "train_softmax.py"
    names = "import os, glob; print([os.path.realpath(fd) for fd in glob.glob('/proc/self/fd/*')])"
    script.write_text(f"{names}\n{SCRIPT}")
    (folder,) = train(context, data, "2")
    assert (
        f"{models(context).resolve()}/model-y1-softmax.lock" in (folder / "output.log").read_text()
    )


def test_a_models_folder_that_is_not_writable(
    context: RunContext, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(TrainingError, match="cannot save its checkpoints") as error:
        train(context, data, "2")
    assert "--models-dir" in error.value.remedy
    assert not context.runs.exists()


NAN = "Epoch[0] Batch [20]\tSpeed: 9.99 samples/sec\tacc=0.500000\tlossvalue=nan"


def verified(accuracy: float) -> str:
    return f"[lfw][5]XNorm: 9.000000\n[lfw][5]Accuracy-Flip: {accuracy:.5f}+-0.01000"


def test_a_nan_loss_stops_the_run(
    context: RunContext, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TrainingError) as error:
        train(context, data, "2", "--says", NAN, "--wait", "1")
    assert "loss is nan at step 21" in str(error.value)
    assert "No good checkpoint was saved" in str(error.value)
    assert "--keep-going" in error.value.remedy
    (folder,) = context.runs.iterdir()
    assert read_record(folder)["outcome"] == "failed"
    assert '"event": "alarm"' in (folder / "events.jsonl").read_text()
    warned = [entry.message for entry in caplog.records if entry.levelname == "WARNING"]
    assert warned[0].startswith("loss is nan")


def test_keep_going_trains_on(context: RunContext, data: Path) -> None:
    (folder,) = train(context, data, "2", "--says", NAN, supervision=Supervision(keep_going=True))
    assert read_record(folder)["outcome"] == "completed"


def test_the_accuracy_gate(context: RunContext, data: Path) -> None:
    with pytest.raises(AccuracyGateError) as error:
        train(context, data, "all", "--says", verified(0.512))
    assert "51.20%, at chance level" in str(error.value)
    assert "--skip-accuracy-gate" in error.value.remedy
    assert len(list(context.runs.iterdir())) == 1, "stage 3 has not begun"
    with pytest.raises(AccuracyGateError):
        train(context, data, "3")
    no_gate = Supervision(gate=False)
    assert len(train(context, data, "3", supervision=no_gate)) == 1
    assert len(train(context, data, "2,3", "--says", verified(0.91))) == 2


@pytest.mark.parametrize("what", ["folder", "all"])
def test_a_run_folder_that_is_removed_meanwhile(
    context: RunContext, data: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    script = context.source / "train_softmax.py"
    victim = "next(runs.iterdir())" if what == "folder" else "runs"
    script.write_text(
        "import pathlib, shutil\n"
        "runs = pathlib.Path.cwd().parent / 'runs'\n"
        f"shutil.rmtree({victim})\n{SCRIPT}"
    )
    caplog.set_level("INFO")
    (folder,) = train(context, data, "2")
    entry = read_record(folder)
    assert (entry["outcome"], entry["last_checkpoint"]) == ("completed", 2)
    assert f"{folder} was removed during the run" in caplog.text
    assert "completed after" in caplog.messages[-1]


def test_a_record_that_cannot_be_closed_decides_nothing(
    context: RunContext,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write = record.write

    def fail(entry: record.RunRecord, folder: Path) -> None:
        if entry.ended:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(entry, folder)

    monkeypatch.setattr(record, "write", fail)
    caplog.set_level("INFO")
    train(context, data, "2")
    assert any("cannot write" in line and "No space left" in line for line in caplog.messages)
    assert "completed after" in caplog.messages[-1]


def test_archive_that_is_removed_meanwhile(context: RunContext, data: Path) -> None:
    train(context, data, "2")
    script = context.source / "train_softmax.py"
    script.write_text(
        "import pathlib, shutil, sys\n"
        f"for path in pathlib.Path({str(models(context))!r}).glob('*.2*'):\n"
        "    shutil.rmtree(path)\n"
        "sys.exit('it went wrong')\n"
    )
    with pytest.raises(TrainingError, match="it went wrong"):
        train(context, data, "2")


def test_a_traceback_of_the_script_is_one_sentence(context: RunContext, data: Path) -> None:
    (context.source / "train_softmax.py").write_text("import sys\n{}['network']\n")
    with pytest.raises(TrainingError) as error:
        train(context, data, "2", "--network", "none")
    assert str(error.value) == "stage 2 (softmax) failed: KeyError: 'network'"
    # The code of these tests counts as edited.
    assert error.value.remedy.startswith("You have edited the patched code: `mfn-patch diff")
    assert "Check the arguments after --" in error.value.remedy
    assert "output.log" in error.value.remedy
