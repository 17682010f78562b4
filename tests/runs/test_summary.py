from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path

import pytest

from mfn_patcher.errors import ExitCode
from mfn_patcher.runs import curve as curves
from mfn_patcher.runs import summary_json
from mfn_patcher.runs.curve import Curve, Point
from mfn_patcher.runs.events import Speed, Verification
from mfn_patcher.runs.log import read_events
from mfn_patcher.runs.summary import RunSummary, percent, summarise
from tests.support.runs import SAMPLE, SHORT_EPOCHS, reference
from tests.support.tool import Tool, validated


def test_what_is_rounded_is_not_rounded_again() -> None:
    # The script rounds to five decimals: 0.2449489 is 0.24495 there, and 24.49 %.
    for printed, shown in ((0.24495, "24.495"), (0.24494, "24.49"), (0.24496, "24.50")):
        assert percent(printed) == shown
    assert (percent(0.6), percent(1.0), percent(0.99545)) == ("60.00", "100.00", "99.545")
    assert percent(math.nan) == "nan"


def test_json(tool: Tool) -> None:
    ran = tool("log", SAMPLE, "--format", "json")
    assert ran.code == 0
    found = validated("log", ran.out)
    (run,) = found["runs"]
    assert run["arguments"]["per_batch_size"] == 2
    assert (run["images"], run["steps_per_epoch"], run["last_step"]) == (400, 200, 2101)
    assert run["speed"]["lines"] == SAMPLE.read_text().count("Speed:")
    assert found["verifications"][0] == {
        "run": 1,
        "set": "lfw",
        "step": 500,
        "accuracy": 0.45,
        "std": 0.26926,
        "xnorm": 117.514034,
        "checkpoint": 1,
        "accuracy_without_flip": None,
        "std_without_flip": None,
        "time": None,
    }
    assert [(best["set"], best["step"], best["checkpoint"]) for best in found["best"]] == [
        ("lfw", 2000, 4),
        ("cfp_fp", 500, 1),
        ("agedb_30", 500, 1),
    ]
    assert [rate["step"] for rate in found["learning_rates"]] == [0, 700, 1500]
    assert [saved["step"] for saved in found["checkpoints"]] == [500, 1000, 1500, 2000]


def test_csv(tool: Tool) -> None:
    rows = list(csv.DictReader(io.StringIO(tool("log", SAMPLE, "--format", "csv").out)))
    assert len(rows) == 12
    assert rows[-1] == {
        "run": "1",
        "set": "agedb_30",
        "step": "2000",
        "accuracy": "0.85",
        "std": "0.22913",
        "xnorm": "18.550052",
        "checkpoint": "4",
    }


def test_table(tool: Tool, tmp_path: Path) -> None:
    out = tool("log", SAMPLE).out
    assert "lr_steps=700,1500" in out
    assert "learning rate  0.005 from step 700\n" in out
    assert "checkpoints    4, the last is 4 at step 2,000: ../models/" in out
    assert "1,500  lfw        0.60000  0.20000   15.782           3\n" in out
    twice = tmp_path / "twice.log"
    twice.write_bytes(SAMPLE.read_bytes() * 2)
    assert "\nrun 2\narguments" in tool("log", twice).out


def test_loss_and_accuracy_of_short_epochs(tool: Tool) -> None:
    out = tool("log", SHORT_EPOCHS).out
    assert "loss           2.7635 in the last training steps\n" in out
    assert "accuracy       0.5000 in the last training steps\n" in out
    (run,) = validated("log", tool("log", SHORT_EPOCHS, "--json").out)["runs"]
    assert (run["loss"], run["accuracy"], run["speed"]["lines"]) == (2.76353, 0.5, 2)


def test_standard_input(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SAMPLE.read_bytes())))
    assert validated("log", tool("log", "-", "--format", "json").out)["file"] == "-"


@pytest.mark.parametrize("content", [b"", b"# a file\n", b"\x00\xff" * 5000, b"Traceback"])
def test_a_file_that_is_no_log(tool: Tool, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    ran = tool("log", file)
    assert (ran.code, ran.out) == (ExitCode.ERROR, "")
    assert "notes.txt contains no line that train_softmax.py prints" in ran.err
    assert "output.log" in ran.err


def test_what_is_no_number_is_null_and_named(tool: Tool, tmp_path: Path) -> None:
    file = tmp_path / "nan.log"
    file.write_text("[lfw][5]XNorm: nan\n[lfw][5]Accuracy-Flip: nan+-nan\n")
    ran = tool("log", file, "--format", "json")
    found = validated("log", ran.out)
    assert "NaN" not in ran.out
    assert found["verifications"][0]["accuracy"] is None
    assert {entry["what"] for entry in found["not_finite"]} == {"accuracy", "std", "xnorm"}
    assert found["best"] == []
    assert "accuracy of lfw is nan at step 5" in tool("log", file).out


def test_of_equal_results_the_last_is_best() -> None:
    run = RunSummary(1)
    for step, accuracy in ((1, 0.9), (2, 0.9), (3, math.nan), (4, 0.8)):
        run.add(Verification(None, "lfw", step, accuracy, 0.0, None, None, None))
    run.add(Verification(None, "cfp_fp", 4, math.nan, 0.0, None, None, None))
    assert {name: entry.step for name, entry in run.best().items()} == {"lfw": 2}


def test_the_curve_is_bounded_and_its_means_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "CURVE_POINTS", 8)
    curve = Curve()
    for n in range(100):
        curve.add(Point(20 * n, 100.0 if n % 2 else 50.0, n / 100))
    assert 4 <= len(curve.points) < 8
    assert curve.lines == 100
    assert curve.mean_speed == pytest.approx(2 / (1 / 100 + 1 / 50))
    assert curve.points[0].accuracy == pytest.approx(sum(range(16)) / 16 / 100)
    assert curve.points[0].step == 300


def test_mean_speed_counts_the_time_of_verification() -> None:
    with reference("softmax_loss_test2.log").open("rb") as file:
        (run,) = summarise(read_events(file), "log")
    assert run.curve.median_speed == pytest.approx(531.8, abs=1)
    # 42,076 steps of 512 from the first "call reset()" to the last line: 11 h 35 min 44 s.
    assert run.curve.mean_speed == pytest.approx(42076 * 512 / 41744, rel=0.005)
    best = run.best()
    assert {name: (entry.step, entry.accuracy) for name, entry in best.items()} == {
        "lfw": (42000, 0.99033),
        "cfp_fp": (40000, 0.85371),
        "agedb_30": (42000, 0.8845),
    }
    assert run.checkpoint_at(42000) == 21


def test_a_log_of_many_runs_keeps_no_curve_but_the_last() -> None:
    one, *_ = summarise(read_events(io.BytesIO(SAMPLE.read_bytes())), "log")
    runs = summarise(read_events(io.BytesIO(SAMPLE.read_bytes() * 3)), "log")
    assert [len(run.curve.points) for run in runs] == [0, 0, one.curve.lines]
    assert {run.curve.median_speed for run in runs} == {one.curve.median_speed}
    runs = summarise(read_events(io.BytesIO(SAMPLE.read_bytes() * 2)), "log", curves=True)
    assert all(run.curve.points == one.curve.points for run in runs)


def test_speed_without_a_number_does_no_harm() -> None:
    run = RunSummary(1)
    run.add(Speed(None, 0, 20, 21, math.inf, None, None))
    assert json.dumps(summary_json.as_json([run], "x"), allow_nan=False)
