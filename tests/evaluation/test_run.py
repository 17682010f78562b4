"""What is looked at before an evaluation, and what is said of a child that fails.

A small program stands in for the training interpreter; the real one evaluates in
`tests/upstream`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.checkpoints.selection import Model
from mfn_patcher.data.verification_set import UnsafePickleError, write_verification_set
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.evaluation import run
from mfn_patcher.evaluation.figures import Evaluation
from mfn_patcher.evaluation.run import EvaluationError, Plan
from mfn_patcher.remedies import install
from mfn_patcher.runs import record
from mfn_patcher.training.options import PlanError
from tests.evaluation.conftest import ENGINE, child, plan, say
from tests.evaluation.test_figures import FIGURES
from tests.support.runs import RECORD


def refused(kind: type[MfnPatchError], workspace: Path, **options: Any) -> MfnPatchError:
    with pytest.raises(kind) as caught:
        plan(workspace, **options)
    return caught.value


def record_run(workspace: Path, **fields: Any) -> None:
    folder = workspace / "runs" / f"{len(list(workspace.glob('runs/*')))}"
    folder.mkdir(parents=True)
    prefix = str(workspace / "models" / "m")
    defaults = {"prefix": prefix, "started": "2026-01-01T00:00:00+00:00", "ended": record.utc_now()}
    record.write(dataclasses.replace(RECORD, **{**defaults, **fields}), folder)


# -- before -------------------------------------------------------------------------------


def test_defaults_are_the_documents(workspace: Path, data: Path) -> None:
    documented = workspace / "datasets" / "faces_ms1m_112x112"
    error = refused(EvaluationError, workspace)
    assert str(error) == f"there is no folder {documented}"
    documented.parent.mkdir()
    data.rename(documented)
    found = plan(workspace)
    assert found.data_dir == documented
    assert list(found.sets) == ["lfw", "cfp_fp", "agedb_30"]
    assert (found.visible_devices, found.devices, found.batch_size) == ("0", 1, 512)
    assert found.batches == 2 * 3 * 2


def test_on_the_cpu_batches_are_small(workspace: Path, data: Path) -> None:
    found = plan(workspace, data_dir=data, cpu=True)
    assert (found.visible_devices, found.devices, found.batch_size) == ("", 0, 64)
    assert plan(workspace, data_dir=data, cpu=True, batch_size=512).batch_size == 512


def test_defaults_are_the_runs_that_saved_the_newest_checkpoint(
    workspace: Path, data: Path
) -> None:
    record_run(workspace, batch_size=48, data_dir=str(data))
    record_run(workspace, batch_size=3, prefix="/another/m")
    found = plan(workspace, visible_devices="1,2")
    assert (found.batch_size, found.data_dir, found.devices) == (48, data, 2)
    assert any("as in" in note for note in found.notes)
    assert plan(workspace, batch_size=2, cpu=True).batch_size == 2


def test_a_run_at_work_counts_and_one_that_had_ended_does_not(workspace: Path, data: Path) -> None:
    record_run(workspace, batch_size=40, ended=None)
    assert plan(workspace, data_dir=data, gpus="0").batch_size == 40
    record_run(workspace, batch_size=30, ended="2026-01-01T00:00:01+00:00")
    assert plan(workspace, data_dir=data, gpus="0").batch_size == 40


def test_checkpoints_that_a_later_run_set_aside(workspace: Path, data: Path) -> None:
    record_run(workspace, batch_size=40)
    aside = workspace / "models" / "m.20260101T000000"
    now = record.utc_now()
    aside.mkdir()
    record_run(workspace, batch_size=20, archive=str(aside), started=now)
    (workspace / "models" / "m-0001.params").rename(aside / "m-0001.params")
    (aside / "m-symbol.json").touch()
    found = plan(workspace, which="models/m.20260101T000000/m,1", data_dir=data, gpus="0")
    assert found.batch_size == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": True, "gpus": "0"}, "exclude each other"),
        ({"gpus": "0,0"}, "named twice"),
        ({"gpus": "first"}, "is no GPU"),
        ({"gpus": "0,1,2", "batch_size": 2}, "can't be split over 3 GPUs"),
    ],
)
def test_options_that_make_no_sense(
    workspace: Path, data: Path, options: dict[str, Any], message: str
) -> None:
    assert message in str(refused(PlanError, workspace, data_dir=data, **options))


def test_no_code(workspace: Path, data: Path) -> None:
    (workspace / "src" / "eval" / "verification.py").unlink()
    assert "mfn-patch apply" in refused(EvaluationError, workspace, data_dir=data).remedy


def test_targets(workspace: Path, data: Path) -> None:
    (data / "cfp_fp.bin").rename(data / "calfw.bin")
    found = plan(workspace, data_dir=data, targets="calfw, lfw,lfw")
    assert list(found.sets) == ["calfw", "lfw"]
    found = plan(workspace, data_dir=data)
    assert list(found.sets) == ["lfw", "agedb_30"]
    assert any("there is no cfp_fp.bin" in note for note in found.notes)


def test_unknown_targets(workspace: Path, data: Path, tmp_path: Path) -> None:
    error = refused(EvaluationError, workspace, data_dir=data, targets="lfw,megaface")
    assert str(error) == f"there is no megaface.bin in {data}"
    assert error.remedy == "There is --target agedb_30,cfp_fp,lfw."
    assert "none of the sets ','" in str(
        refused(EvaluationError, workspace, data_dir=data, targets=",")
    )
    assert "--data-dir" in refused(EvaluationError, workspace, data_dir=tmp_path).remedy


def test_sets_that_carry_code_are_refused(workspace: Path, data: Path) -> None:
    (data / "lfw.bin").write_bytes(b"\x80\x02cposix\nsystem\n.")
    error = refused(UnsafePickleError, workspace, data_dir=data)
    assert "posix.system" in str(error)
    plan(workspace, data_dir=data, targets="cfp_fp")


def test_sets_that_do_not_fit(workspace: Path, data: Path) -> None:
    images = [b"no picture"] * 40
    write_verification_set(data / "lfw.bin", images, [True, False] * 10)
    write_verification_set(data / "cfp_fp.bin", images[:-1], [True, False] * 10)
    message = str(refused(EvaluationError, workspace, data_dir=data))
    assert f"{data / 'lfw.bin'}: " in message
    assert "cfp_fp.bin: 39 images for 20 pairs, which need 40" in message


def test_an_exported_model_computes_on_the_cpu(workspace: Path, data: Path) -> None:
    (workspace / "m.param").touch()
    found = plan(workspace, which="m.param", data_dir=data)
    assert (found.visible_devices, found.devices, found.model.exported) == ("", 0, True)
    assert "on the CPU" in str(refused(PlanError, workspace, which="m.param", gpus="0"))


# -- the child ----------------------------------------------------------------------------


RESULT = dataclasses.asdict(FIGURES)


def test_events(ready: Plan, tmp_path: Path) -> None:
    python = child(
        tmp_path,
        "cat > request.json",
        say(failed=[1, "it is torn"]),
        say(loading="lfw"),
        say(batch=1),
        say(batch=1),
        say(checkpoint=2, set="lfw", result=RESULT),
    )
    batches: list[int] = []
    steps: list[str] = []
    found = run.run(
        ready, python, os.environ, on_batch=lambda: batches.append(1), on_step=steps.append
    )
    assert found == Evaluation({2: {"lfw": FIGURES}}, {1: "it is torn"}, ENGINE)
    assert len(batches) == 2
    assert steps == [
        "computed by MXNet (mxnet 1.9.1): it is installed",
        "lfw: 40 images",
        "lfw: checkpoint 2: 99.50%",
    ]
    request = json.loads((ready.source / "request.json").read_text())
    assert [number for number, _ in request["checkpoints"]] == [1, 2]
    assert request["devices"] == 0


def test_a_checkpoint_that_fails_late_has_no_figures(ready: Plan, tmp_path: Path) -> None:
    python = child(
        tmp_path, say(checkpoint=2, set="lfw", result=RESULT), say(failed=[2, "it diverged"])
    )
    assert run.run(ready, python, os.environ) == Evaluation({}, {2: "it diverged"}, ENGINE)


def ended(ready: Plan, python: str) -> EvaluationError:
    with pytest.raises(EvaluationError) as caught:
        run.run(ready, python, os.environ)
    return caught.value


def test_a_child_that_fails(ready: Plan, tmp_path: Path) -> None:
    error = ended(ready, child(tmp_path, "echo a reason >&2", "exit 3"))
    assert str(error) == "the evaluation failed: exit status 3\na reason"
    assert "mfn-patch status" in error.remedy
    traceback = 'Traceback (most recent call last):\\n  File "x", line 1\\nKeyError: 1'
    error = ended(ready, child(tmp_path, f"printf '{traceback}' >&2", "exit 1"))
    assert str(error) == "the evaluation failed: KeyError: 1"
    error = ended(ready, child(tmp_path, say(error="no network")))
    assert str(error) == "no network"


def test_an_exported_model_whose_runtime_is_missing(ready: Plan, tmp_path: Path) -> None:
    path = tmp_path / "m.param"
    exported = dataclasses.replace(ready, model=Model(path, {0: path}, exported=True))
    python = child(tmp_path, "cat > request.json", say(missing="there is no ncnn"))
    error = ended(exported, python)
    assert "can't run m.param: there is no ncnn" in str(error)
    assert install("ncnn", python) in error.remedy
    request = json.loads((ready.source / "request.json").read_text())
    assert (request["symbol"], request["checkpoints"]) == (None, [[0, str(path)]])


def test_a_child_that_is_killed(ready: Plan, tmp_path: Path) -> None:
    error = ended(ready, child(tmp_path, "printf '{\"half an'", "kill -9 $$"))
    assert "killed by SIGKILL" in str(error)
    assert "--batch-size" in error.remedy
    error = ended(ready, child(tmp_path, "echo cudaMalloc failed: out of memory >&2", "exit 1"))
    assert "--batch-size" in error.remedy


def test_no_child_is_left_behind(ready: Plan, tmp_path: Path) -> None:
    python = child(tmp_path, "echo $$ > number", say(batch=1), "exec sleep 60")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(ready, python, os.environ, on_batch=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((ready.source / "number").read_text()), 0)


def test_failed_checkpoints_are_an_error(ready: Plan) -> None:
    run.raise_for_failed(ready, Evaluation({1: {"lfw": FIGURES}}, {}))
    with pytest.raises(EvaluationError, match=r"1 of 2 .*\n  m-0002\.params: it is torn"):
        run.raise_for_failed(ready, Evaluation({1: {"lfw": FIGURES}}, {2: "it is torn"}))
