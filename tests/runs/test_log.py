"""The log reader, on a log of our own (``tests/recorded/training.log``) and variations of it."""

from __future__ import annotations

import io
import itertools
import math
import random
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfn_patcher.runs.events import (
    Arguments,
    CheckpointSaved,
    Event,
    LearningRate,
    NotFinite,
    Progress,
    Resumed,
    Schedule,
    ScriptError,
    Speed,
    TrainingSet,
    Verification,
)
from mfn_patcher.runs.log import LogStream, read_events
from mfn_patcher.runs.log_reader import LogReader
from tests.support.runs import SAMPLE, SHORT_EPOCHS, reference

LINES = SAMPLE.read_text().splitlines()
_E = TypeVar("_E", bound=Event)


def read(data: bytes | str) -> list[Event]:
    return list(read_events(io.BytesIO(data.encode() if isinstance(data, str) else data)))


def of(kind: type[_E], events: Sequence[Event]) -> list[_E]:
    return [event for event in events if isinstance(event, kind)]


def test_an_own_run() -> None:
    events = read(SAMPLE.read_bytes())
    (arguments,) = of(Arguments, events)
    assert arguments.values["batch_size"] == 2
    assert arguments.values["lr_steps"] == "700,1500"
    assert arguments.values["wd"] == 4e-05
    assert of(TrainingSet, events) == [TrainingSet(None, 400, 200)]
    assert of(Schedule, events) == [Schedule(None, (700, 1500))]
    assert [(rate.step, round(rate.value, 9)) for rate in of(LearningRate, events)] == [
        (0, 0.05),
        (700, 0.005),
        (1500, 0.0005),
    ]
    results = of(Verification, events)
    assert [(entry.step, entry.set) for entry in results] == [
        (step, name) for step in (500, 1000, 1500, 2000) for name in ("lfw", "cfp_fp", "agedb_30")
    ]
    assert results[-1] == Verification(None, "agedb_30", 2000, 0.85, 0.22913, 18.550052, None, None)
    assert [(saved.number, saved.step) for saved in of(CheckpointSaved, events)] == [
        (1, 500),
        (2, 1000),
        (3, 1500),
        (4, 2000),
    ]
    assert not of(NotFinite, events)
    assert not of(ScriptError, events)


def test_an_epoch_of_several_workers() -> None:
    text = SAMPLE.read_text().replace("Namespace(", "Namespace(workers=4, ")
    events = read(text)
    assert of(TrainingSet, events) == [TrainingSet(None, 400, 50)]


def test_steps_of_training_lines() -> None:
    events = read(SAMPLE.read_bytes())
    speeds = of(Speed, events)
    assert speeds[0] == Speed(None, 0, 20, 21, 0.97, 0.047619, None)
    assert [speed.step for speed in speeds if speed.epoch == 3][:2] == [621, 641]
    # The script tells these at whole thousands, and not which: an independent witness.
    assert [(entry.step, entry.epoch) for entry in of(Progress, events)] == [(1000, 4), (2000, 9)]


def test_an_epoch_that_is_too_short_for_a_training_line() -> None:
    """What MXNet 1.9.1 printed of an epoch of three steps, each of four images."""
    speeds = of(Speed, read(SHORT_EPOCHS.read_bytes()))
    assert speeds == [
        Speed(None, 0, 2, 3, 12 / 16.511, 0.5, 1.336271),
        Speed(None, 1, 2, 6, 12 / 15.793, 0.5, 2.76353),
    ]


def test_values_at_the_end_of_a_short_epoch_that_are_no_numbers() -> None:
    text = SHORT_EPOCHS.read_text().replace("Train-lossvalue=2.763530", "Train-lossvalue=nan")
    assert of(NotFinite, read(text)) == [NotFinite(None, "loss", "nan", 6, None)]


def test_the_end_of_an_epoch_with_training_lines_is_left_out() -> None:
    """Its values are of the few steps after the last line, or, in MXNet 1.1, of no step at all."""
    lines = SAMPLE.read_text()
    assert lines.count("Train-acc=") == 10
    events = read(lines.replace("Train-acc=0.026316", "Train-acc=nan"))
    assert len(of(Speed, events)) == lines.count("Speed:")
    assert not of(NotFinite, events)


@pytest.mark.parametrize(("length", "lines"), [(20, 1), (21, 0)])
def test_the_longest_epoch_without_a_training_line(length: int, lines: int) -> None:
    """Of 21 steps, the script prints a training line, and the same values at the end again."""
    text = SHORT_EPOCHS.read_text().replace("\n12\n", f"\n{4 * length}\n")
    events = read(
        text.partition("call reset()\ntesting verification..\n(40, 128)\ninfer time 3.74")[0]
    )
    assert [speed.step for speed in of(Speed, events)] == [length] * lines


def test_a_run_that_resumes_within_a_short_epoch() -> None:
    resumed = "resuming from 2 at step 4"
    text = (
        SHORT_EPOCHS.read_text()
        .replace("lr_steps [", f"{resumed}\nlr_steps [")
        .partition("Epoch[0]")
    )
    events = read(text[0] + text[2].partition("call reset()")[2])
    # Two of the three steps of epoch 1 are left.
    assert of(Speed, events) == [Speed(None, 1, 2, 6, 8 / 15.793, 0.5, 2.76353)]


def test_epochs_of_unknown_length_are_left_out() -> None:
    text = SHORT_EPOCHS.read_text()
    assert not of(Speed, read(text.replace("\n12\n", "\n")))
    # Two verifications tell the length of an epoch, three steps, but nothing the images in a step.
    known = "".join(
        f"lr-batch-epoch: 0.1 {batch} {epoch}\n[lfw][{step}]XNorm: 1.000000\n"
        for step, batch, epoch in ((1000, 0, 333), (2000, 1, 666))
    )
    end = "Epoch[666] Train-acc=0.500000\nEpoch[666] Time cost=3.000\n"
    assert not of(Speed, read(known + end))
    speedometer = "Epoch[666] Batch [2]\tSpeed: 1.00 samples/sec\n"
    assert [speed.step for speed in of(Speed, read(known + speedometer))] == [2001]


@pytest.mark.parametrize(
    "line",
    [
        "Epoch[1] Batch [20]\tSpeed: 587.77 samples/sec\tacc=0.000558",
        "INFO:root:Epoch[1] Batch [0-20]\tSpeed: 587.77 samples/sec\tacc=0.000558\n",
        "INFO:root:Epoch[1] Batch [20]    Speed: 587.77 samples/sec    acc=0.000558\r",
        "saving 1INFO:root:Epoch[1] Batch [20]\tSpeed: 587.77 samples/sec\tacc=0.000558oops",
    ],
)
def test_speedometers_of_both_versions(line: str) -> None:
    assert LogReader().feed(line) == [Speed(None, 1, 20, None, 587.77, 0.000558, None)]


@pytest.mark.parametrize(
    "stamp",
    ["[2018-05-07 22:36:46]  ", "2018-05-07 22:36:46,123 ", "[2018-05-07T22:36:46.5+08:00] "],
)
def test_time_stamps(stamp: str) -> None:
    time = datetime(2018, 5, 7, 22, 36, 46)
    plain = [read(line + "\n") for line in LINES]
    assert {event.time for event in read("\n".join(stamp + line for line in LINES))} == {time}
    assert [len(events) for events in plain] == [len(read(stamp + line + "\n")) for line in LINES]


def test_a_time_that_does_not_exist() -> None:
    (event,) = LogReader().feed("[2018-99-07 22:36:46]  lr change to 0.01")
    assert event == LearningRate(None, None, 0.01)


def test_both_accuracies() -> None:
    reader = LogReader()
    assert reader.feed("[lfw][2000]XNorm: 11.122978") == []
    assert reader.feed("[lfw][2000]Accuracy: 0.98300+-0.00700") == []
    assert reader.feed("[lfw][2000]Accuracy-Flip: 0.98450+-0.00667") == [
        Verification(None, "lfw", 2000, 0.9845, 0.00667, 11.122978, 0.983, 0.007)
    ]


def test_lines_of_two_streams_mixed_up() -> None:
    reader = LogReader()
    events = [
        *reader.feed("[lfw][2000]XNorm: 11.122978[cfp_fp][2000]XNorm: 9.000000"),
        *reader.feed("[cfp_fp][2000]Accuracy-Flip: 0.90000+-0.00667"),
        *reader.feed("WARNING: something [else][1]"),
        *reader.feed("[lfw][2000]Accuracy-Flip: 0.98450+-0.00667lr change to 0.01"),
    ]
    assert [(entry.set, entry.xnorm) for entry in of(Verification, events)] == [
        ("cfp_fp", 9.0),
        ("lfw", 11.122978),
    ]
    assert of(LearningRate, events) == [LearningRate(None, None, 0.01)]


def test_an_xnorm_is_never_taken_from_another_step() -> None:
    reader = LogReader()
    reader.feed("[lfw][2000]XNorm: 11.122978")
    (event,) = reader.feed("[lfw][4000]Accuracy-Flip: 0.98450+-0.00667")
    assert isinstance(event, Verification)
    assert event.xnorm is None


@given(st.integers(0, SAMPLE.stat().st_size))
def test_a_log_cut_anywhere_tells_nothing_false(length: int) -> None:
    whole = read(SAMPLE.read_bytes())
    found = read(SAMPLE.read_bytes()[:length])
    for event, expected in zip(found, whole):
        if event != expected:
            # Of a speed line cut after the speed, the accuracy is unknown.
            assert isinstance(event, Speed)
            assert isinstance(expected, Speed)
            assert (event.step, event.samples_per_second) == (
                expected.step,
                expected.samples_per_second,
            )
            assert event.accuracy is None
    assert len(found) <= len(whole)


@given(
    st.lists(st.integers(0, SAMPLE.stat().st_size), max_size=30),
    st.sampled_from(["\n", "\r", "\r\n"]),
)
def test_chunks_of_any_size(cuts: list[int], end: str) -> None:
    data = SAMPLE.read_bytes().replace(b"\n", end.encode())
    stream = LogStream()
    edges = [0, *sorted(cuts), len(data)]
    events = [
        event
        for start, stop in itertools.pairwise(edges)
        for event in stream.feed(data[start:stop])
    ]
    assert events + stream.end() == read(SAMPLE.read_bytes())


def test_a_progress_bar_before_a_line() -> None:
    (event,) = read(b" 10%\r 20%\r[lfw][5]Accuracy-Flip: 0.50000+-0.10000\r\n")
    assert isinstance(event, Verification)


def test_bytes_that_are_no_text() -> None:
    noise = random.Random(0).randbytes(200_000)
    mixed = b"\n\xff\xfe\n".join([noise, SAMPLE.read_bytes(), b"\x00" * 200_000])
    assert read(mixed + b"\n" + SAMPLE.read_bytes()) == read(SAMPLE.read_bytes()) * 2


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_line_is_too_strange(data: bytes) -> None:
    for prefix in (b"", b"Called with argument: Namespace(", b"[lfw][", b"Epoch["):
        read(prefix + data + b")\n" + data)


@pytest.mark.parametrize(
    "line",
    [
        "Epoch[" + "9" * 5000 + "] Batch [20]\tSpeed: 1.00 samples/sec",
        "lr-batch-epoch: 0.1 " + "9" * 5000 + " 0",
        "lr_steps [" + "9" * 5000 + "]",
        "[lfw][" + "9" * 5000 + "]XNorm: 1.000000",
        'Saved checkpoint to "x-' + "9" * 5000 + '.params"',
    ],
)
def test_numbers_that_are_none(line: str) -> None:
    assert LogReader().feed(line) == []


def test_a_line_without_an_end_takes_no_memory() -> None:
    stream = LogStream()
    for _ in range(100):
        assert stream.feed(b"x" * (1 << 20)) == []
        assert len(stream._rest) < 1 << 20
    assert stream.feed(b"\nlr change to 0.1") == []
    assert len(stream.feed(b"\n")) == 1


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a='x, y=(1)', b=-1.5, c=None", {"a": "x, y=(1)", "b": -1.5, "c": None}),
        ("a='it\\'s', b=[1, 2], c=True", {"a": "it's", "b": [1, 2], "c": True}),
        ("a=<object at 0x7f>, b=1", {}),
        ("lr=nan, b=1e999, c=(1, 2)", {"lr": "nan", "b": "inf", "c": "(1, 2)"}),
        ("a='\\udcff', b=0x" + "f" * 5000, {"a": "\\udcff", "b": "0x" + "f" * 5000}),
        ("(" * 500, {}),
        ("__import__('os')", {}),
        ("a=__import__('os')", {"a": "__import__('os')"}),
    ],
)
def test_arguments_are_data(text: str, values: dict[str, object]) -> None:
    event = LogReader().feed(f"Called with argument: Namespace({text})\n")[0]
    assert event == Arguments(None, values)


def test_several_runs_in_one_log() -> None:
    events = read(SAMPLE.read_bytes() + SAMPLE.read_bytes()[:5000] + SAMPLE.read_bytes())
    assert len(of(Arguments, events)) == 3
    steps = [speed.step for speed in of(Speed, events)]
    assert steps.count(21) == 3
    assert None not in steps


def test_a_log_without_its_beginning_knows_steps_from_a_later_one() -> None:
    start = next(n for n, line in enumerate(LINES) if "Epoch[3]" in line)
    events = read("\n".join(LINES[start:]))
    assert not of(Arguments, events)
    steps = {(speed.epoch, speed.batch): speed.step for speed in of(Speed, events)}
    assert steps[3, 20] is None
    # Verification at step 1000 comes after batch 199 of epoch 4: an epoch has 200.
    assert steps[5, 20] == 1021
    assert steps[10, 80] == 2081
    # Nothing tells the first learning rate, nor how the schedule went on.
    assert [rate.step for rate in of(LearningRate, events)] == [None, None]


def test_a_lost_line_of_the_schedule_does_not_shift_the_next() -> None:
    lines = [line for line in LINES if "lr change to 0.005" not in line]
    rates = of(LearningRate, read("\n".join(lines)))
    assert [rate.step for rate in rates] == [0, 1500]


@pytest.mark.parametrize(
    ("step", "printed", "rates", "next_step"),
    [
        (500, "", [(500, 0.05), (700, 0.005), (1500, 0.0005)], 501),
        (1000, "lr change to 0.005000000000000001\n", [(1000, 0.005), (1500, 0.0005)], 1021),
    ],
)
def test_a_run_that_goes_on_from_a_checkpoint(
    step: int, printed: str, rates: list[tuple[int, float]], next_step: int
) -> None:
    """What `resume/` adds to the script's output, in the log of a run that was not resumed."""
    text = "\n".join(LINES).replace("cutoff=0", f"cutoff=0, resume={step // 500}")
    before, schedule, after = text.partition("lr_steps [700, 1500]\n")
    # Epoch and batch continue where they were.
    position = after.index(f"[{step}]Accuracy-Highest")
    added = f"resuming from {step // 500} at step {step}\n{printed}"
    events = read(before + schedule + added + after[position:] + "\n")
    assert of(Resumed, events) == [Resumed(None, step // 500, step)]
    assert [(rate.step, round(rate.value, 9)) for rate in of(LearningRate, events)] == rates
    speeds = of(Speed, events)
    assert (speeds[0].step, speeds[-1].step) == (next_step, 2101)


def test_checkpoints_without_verification_sets() -> None:
    lines = [line for line in LINES if "][" not in line]
    saved = of(CheckpointSaved, read("\n".join(lines)))
    assert [(entry.number, entry.step) for entry in saved] == [
        (1, 500),
        (2, 1000),
        (3, 1500),
        (4, 2000),
    ]


def test_values_that_are_no_numbers() -> None:
    reader = LogReader()
    reader.feed("[lfw][2000]XNorm: nan")
    events = reader.feed("[lfw][2000]Accuracy-Flip: 0.50000+-0.00000")
    assert of(NotFinite, events) == [NotFinite(None, "xnorm", "nan", 2000, "lfw")]
    events = reader.feed("Epoch[0] Batch [0-20]\tSpeed: 3.00 samples/sec\tlossvalue=inf")
    assert of(NotFinite, events) == [NotFinite(None, "loss", "inf", 21, None)]
    (speed,) = of(Speed, events)
    assert speed.loss == math.inf


def test_an_exception_of_the_script() -> None:
    text = (
        "[2018-05-07 22:36:46]  Traceback (most recent call last):\n"
        '[2018-05-07 22:36:46]    File "train_softmax.py", line 499, in main\n'
        "[2018-05-07 22:36:46]      raise ValueError('not this: Error')\n"
        "[2018-05-07 22:36:46]  mxnet.base.MXNetError: [22:36:46] out of memory\n"
        "[2018-05-07 22:36:47]  KeyError: 'not in a traceback'\n"
    )
    assert read(text) == [
        ScriptError(
            datetime(2018, 5, 7, 22, 36, 46), "mxnet.base.MXNetError: [22:36:46] out of memory"
        )
    ]


@pytest.mark.parametrize(
    ("name", "speeds", "rates", "last"),
    [
        ("softmax_loss_test2.log", 2101, [0], ("agedb_30", 42000, 0.8845, 0.02618, 12.212709)),
        (
            "arcface_loss_test2.log",
            7997,
            [0, 80000, 120000, 140000, 160000],
            ("agedb_30", 160000, 0.95017, 0.00838, 10.994453),
        ),
    ],
)
def test_the_logs_of_the_recipes_author(
    name: str, speeds: int, rates: list[int], last: tuple[object, ...]
) -> None:
    data = reference(name).read_bytes()
    events = read(data)
    assert len(of(Speed, events)) == speeds == data.count(b"Speed:")
    assert [rate.step for rate in of(LearningRate, events)] == rates
    results = of(Verification, events)
    assert len(results) == data.count(b"Accuracy-Flip")
    entry = results[-1]
    assert (entry.set, entry.step, entry.accuracy, entry.std, entry.xnorm) == last
    assert all(saved.step == saved.number * 2000 for saved in of(CheckpointSaved, events))
    progress = of(Progress, events)
    assert [entry.step for entry in progress] == [1000 * n for n in range(1, len(progress) + 1)]


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("length", [1, 3, 1000])
def test_logs_that_other_systems_have_written(encoding: str, length: int) -> None:
    """PowerShell's ``>`` writes UTF-16, with lines that end in two characters."""
    text = SAMPLE.read_text(encoding="utf-8")[:6000]
    expected = list(read_events(io.BytesIO(text.encode())))
    content = text.replace("\n", "\r\n").encode(encoding)
    stream, found = LogStream(), []
    for start in range(0, len(content), length):
        found += stream.feed(content[start : start + length])
    assert found + stream.end() == expected
    assert any(isinstance(event, Arguments) for event in expected)


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xfe", b"\xff\xfea", b"\0", b"a\0\0"])
def test_next_to_nothing_in_any_encoding(content: bytes) -> None:
    assert list(read_events(io.BytesIO(content))) == []
