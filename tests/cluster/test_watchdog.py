from __future__ import annotations

import os
from pathlib import Path

from mfn_patcher.cluster.watchdog import Beat, Pace, read_progress

NAMES = {0: "rank 0 on a", 1: "rank 1 on b", 2: "rank 2 on c"}


def paced(seconds: float, steps: int = 20, patience: float = 45) -> Pace:
    """A pace that has seen steps of so many seconds."""
    pace = Pace(patience)
    for step in range(1, steps):
        pace.note(Beat(step, "compute"), step * seconds)
    return pace


def test_whom_the_others_wait_for() -> None:
    beats = {0: Beat(9, "wait", 46), 1: Beat(8, "data", 50), 2: Beat(9, "wait", 47)}
    why = paced(0.5).judge(beats, NAMES)
    assert why == (
        "no step is done since 46 s: rank 1 on b is at step 8 (data); the others wait: "
        "rank 0 on a is at step 9 (waits), rank 2 on c is at step 9 (waits)"
    )


def test_in_one_step_it_is_who_does_not_wait() -> None:
    beats = {0: Beat(9, "wait", 46), 1: Beat(9, "compute", 50), 2: Beat(9, "wait", 47)}
    assert "46 s: rank 1 on b is at step 9 (computes); the others" in (
        paced(0.5).judge(beats, NAMES) or ""
    )


def test_a_stopped_process_is_told_whatever_it_waited_for() -> None:
    stopped = Beat(9, "wait", 50, {"server": "T", "worker": "S"})
    beats = {0: Beat(9, "wait", 46), 1: stopped, 2: Beat(9, "compute", 46)}
    why = paced(0.5).judge(beats, NAMES) or ""
    assert ": rank 1 on b is at step 9 (waits), its server is stopped; the others" in why


def test_all_may_wait_for_a_server() -> None:
    beats = {rank: Beat(9, "wait", 46) for rank in NAMES}
    assert "46 s: all wait for a server or the network: rank 0 on a is" in (
        paced(0.5).judge(beats, NAMES) or ""
    )


def test_one_that_goes_on_is_no_stall() -> None:
    beats = {0: Beat(9, "wait", 46), 1: Beat(9, "compute", 3), 2: Beat(9, "wait", 47)}
    assert paced(0.5).judge(beats, NAMES) is None


def test_long_steps_may_take_long() -> None:
    beats = {0: Beat(9, "wait", 46), 1: Beat(9, "compute", 50)}
    assert paced(5).judge(beats, NAMES) is None
    assert paced(5).limit(beats.values()) == 50
    assert paced(0.5, patience=8).limit(beats.values()) == 8


def test_verification_takes_as_long_as_it_takes() -> None:
    for phase in ("verify", "save"):
        beats = {0: Beat(9, phase, 5000), 1: Beat(9, "wait", 5000)}
        assert paced(0.5).judge(beats, NAMES) is None
    pace = paced(0.5)
    pace.note(Beat(20, "verify"), 100)
    pace.note(Beat(21, "compute"), 900)
    assert pace.limit([Beat(21)]) == 45, "a verification is no step"


def test_the_first_step_may_take_longer() -> None:
    """Also that of a training that goes on, which begins at a later step."""
    pace = Pace(45)
    assert pace.limit([Beat()]) == 450
    pace.note(Beat(0, "start"), 0)
    pace.note(Beat(701, "compute"), 60)
    assert pace.limit([Beat(701, "compute")]) == 450
    pace.note(Beat(702, "compute"), 61)
    assert pace.limit([Beat(702, "compute")]) == 45


def test_who_has_ended_waits_for_nobody() -> None:
    beats = {0: Beat(9, "end", 500), 1: Beat(9, "end", 500)}
    assert paced(0.5).judge(beats, NAMES) is None
    beats[2] = Beat(8, "compute", 46)
    assert "rank 2 on c is at step 8" in (paced(0.5).judge(beats, NAMES) or "")


def test_before_the_first_step() -> None:
    beats = {0: Beat(0, "start", 460), 1: Beat(None, "", 460)}
    why = Pace(45).judge(beats, NAMES) or ""
    assert "rank 1 on b is before its first step; the others wait: rank 0 on a is before" in why


def test_progress_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    file.touch()
    descriptor = os.open(file, os.O_RDONLY)
    assert read_progress(descriptor) is None
    for text, found in (
        ("", None),
        ("1 17", None),
        ("1 17 compute".ljust(39) + "\n", (17, "compute")),
    ):
        file.write_text(text)
        assert read_progress(descriptor) == found
    file.unlink()
    assert read_progress(descriptor) == (17, "compute"), "it is open"
    os.close(descriptor)
    assert read_progress(descriptor) is None
