"""The child process of an evaluation, and what is said where it fails.

A small program stands in for the training interpreter; the real one evaluates in `tests/upstream`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from pathlib import Path

import pytest

from mfn_patcher.checkpoints.selection import Model
from mfn_patcher.evaluation import run
from mfn_patcher.evaluation.figures import Evaluation
from mfn_patcher.evaluation.plan import EvaluationError, Plan
from mfn_patcher.export import formats
from mfn_patcher.remedies import install
from tests.support.evaluation import ENGINE, FIGURES, child, result, say


def test_events(ready: Plan, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mfn_patcher.evaluation")
    python = child(
        tmp_path,
        "cat > request.json",
        say(failed=[1, "it is torn"]),
        say(loading="lfw"),
        say(batch=1),
        say(batch=1),
        result(2, "lfw", FIGURES.accuracy),
    )
    batches: list[int] = []
    found = run.run(ready, python, os.environ, on_batch=lambda: batches.append(1))
    assert found == Evaluation({2: {"lfw": FIGURES}}, {1: "it is torn"}, ENGINE)
    assert len(batches) == 2
    assert caplog.messages == [
        "computed by MXNet (mxnet 1.9.1): it is installed",
        "lfw: 40 images",
        "lfw: checkpoint 2: 99.50%",
    ]
    request = json.loads((tmp_path / "request.json").read_text())
    assert [number for number, _ in request["checkpoints"]] == [1, 2]
    assert request["devices"] == 0


def test_a_checkpoint_that_fails_late_has_no_figures(ready: Plan, tmp_path: Path) -> None:
    python = child(tmp_path, result(2, "lfw", 0.99), say(failed=[2, "it diverged"]))
    assert run.run(ready, python, os.environ) == Evaluation({}, {2: "it diverged"}, ENGINE)


def ended(ready: Plan, python: str) -> EvaluationError:
    with pytest.raises(EvaluationError) as caught:
        run.run(ready, python, os.environ)
    return caught.value


def test_a_child_that_fails(ready: Plan, tmp_path: Path) -> None:
    error = ended(ready, child(tmp_path, "echo a reason >&2", "exit 3"))
    assert str(error) == "the evaluation failed: exit status 3\na reason"
    assert "mfn-patch doctor" in error.remedy
    traceback = 'Traceback (most recent call last):\\n  File "x", line 1\\nKeyError: 1'
    error = ended(ready, child(tmp_path, f"printf '{traceback}' >&2", "exit 1"))
    assert str(error) == "the evaluation failed: KeyError: 1"
    error = ended(ready, child(tmp_path, say(error="no network")))
    assert str(error) == "no network"


def test_an_exported_model_whose_runtime_is_missing(ready: Plan, tmp_path: Path) -> None:
    path = tmp_path / "m.param"
    runtime = formats.runtimes()[".param"]
    exported = dataclasses.replace(ready, model=Model(path, {0: path}, runtime))
    python = child(tmp_path, "cat > request.json", say(missing="there is no ncnn"))
    error = ended(exported, python)
    assert "cannot run m.param: there is no ncnn" in str(error)
    assert install("ncnn", python) in error.remedy
    request = json.loads((tmp_path / "request.json").read_text())
    assert (request["symbol"], request["checkpoints"]) == (None, [[0, str(path)]])
    assert request["runtime"] == "mfn_patcher.export.formats"


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
        os.kill(int((tmp_path / "number").read_text()), 0)


def test_failed_checkpoints_are_an_error(ready: Plan) -> None:
    run.raise_for_failed(ready, Evaluation({1: {"lfw": FIGURES}}, {}))
    with pytest.raises(EvaluationError, match=r"1 of 2 .*\n  m-0002\.params: it is torn"):
        run.raise_for_failed(ready, Evaluation({1: {"lfw": FIGURES}}, {2: "it is torn"}))
