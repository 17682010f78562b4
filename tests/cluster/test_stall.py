from __future__ import annotations

from mfn_patcher.cluster.heartbeat import Heartbeat
from mfn_patcher.cluster.stall import StallDetector

NAMES = {0: "rank 0 on a", 1: "rank 1 on b", 2: "rank 2 on c"}


def paced(seconds: float, steps: int = 20, timeout: float = 45) -> StallDetector:
    """Return a detector that has observed steps of so many seconds."""
    detector = StallDetector(timeout)
    for step in range(1, steps):
        detector.observe(Heartbeat(step, "compute"), step * seconds)
    return detector


def test_names_the_rank_that_the_others_wait_for() -> None:
    beats = {0: Heartbeat(9, "wait", 46), 1: Heartbeat(8, "data", 50), 2: Heartbeat(9, "wait", 47)}
    why = paced(0.5).find_stall(beats, NAMES)
    assert why == (
        "no step completed for 46 s: rank 1 on b is at step 8 (loading data); the others wait: "
        "rank 0 on a is at step 9 (waiting), rank 2 on c is at step 9 (waiting)"
    )


def test_in_the_same_step_names_the_rank_that_does_not_wait() -> None:
    beats = {
        0: Heartbeat(9, "wait", 46),
        1: Heartbeat(9, "compute", 50),
        2: Heartbeat(9, "wait", 47),
    }
    assert "46 s: rank 1 on b is at step 9 (computing); the others" in (
        paced(0.5).find_stall(beats, NAMES) or ""
    )


def test_a_stopped_process_is_always_named() -> None:
    stopped = Heartbeat(9, "wait", 50, {"server": "T", "worker": "S"})
    beats = {0: Heartbeat(9, "wait", 46), 1: stopped, 2: Heartbeat(9, "compute", 46)}
    why = paced(0.5).find_stall(beats, NAMES) or ""
    assert ": rank 1 on b is at step 9 (waiting), its server is stopped; the others" in why


def test_all_ranks_wait_for_the_network() -> None:
    beats = {rank: Heartbeat(9, "wait", 46, {"worker": "S"}) for rank in NAMES}
    assert "46 s: all ranks wait for the network: rank 0 on a is" in (
        paced(0.5).find_stall(beats, NAMES) or ""
    )
    beats[2] = Heartbeat(9, "wait", 46, {"server": "S", "worker": "S"})
    assert "46 s: all ranks wait for a server or the network: rank 0 on a is" in (
        paced(0.5).find_stall(beats, NAMES) or ""
    )


def test_progress_on_one_rank_is_no_stall() -> None:
    beats = {
        0: Heartbeat(9, "wait", 46),
        1: Heartbeat(9, "compute", 3),
        2: Heartbeat(9, "wait", 47),
    }
    assert paced(0.5).find_stall(beats, NAMES) is None


def test_the_limit_grows_with_the_usual_step() -> None:
    beats = {0: Heartbeat(9, "wait", 46), 1: Heartbeat(9, "compute", 50)}
    assert paced(5).find_stall(beats, NAMES) is None
    assert paced(5).limit(beats.values()) == 50
    assert paced(0.5, timeout=8).limit(beats.values()) == 8


def test_verification_and_saving_have_no_limit() -> None:
    for phase in ("verify", "save"):
        beats = {0: Heartbeat(9, phase, 5000), 1: Heartbeat(9, "wait", 5000)}
        assert paced(0.5).find_stall(beats, NAMES) is None
    detector = paced(0.5)
    detector.observe(Heartbeat(20, "verify"), 100)
    detector.observe(Heartbeat(21, "compute"), 900)
    assert detector.limit([Heartbeat(21)]) == 45, "a verification is not a step"


def test_the_first_step_has_a_longer_limit() -> None:
    """This also holds for a resumed run, which starts at a later step."""
    detector = StallDetector(45)
    assert detector.limit([Heartbeat()]) == 450
    detector.observe(Heartbeat(0, "start"), 0)
    detector.observe(Heartbeat(701, "compute"), 60)
    assert detector.limit([Heartbeat(701, "compute")]) == 450
    detector.observe(Heartbeat(702, "compute"), 61)
    assert detector.limit([Heartbeat(702, "compute")]) == 45


def test_ranks_that_are_done_do_not_count() -> None:
    beats = {0: Heartbeat(9, "end", 500), 1: Heartbeat(9, "end", 500)}
    assert paced(0.5).find_stall(beats, NAMES) is None
    beats[2] = Heartbeat(8, "compute", 46)
    assert "rank 2 on c is at step 8" in (paced(0.5).find_stall(beats, NAMES) or "")


def test_before_the_first_step() -> None:
    beats = {0: Heartbeat(0, "start", 460), 1: Heartbeat(None, "", 460)}
    why = StallDetector(45).find_stall(beats, NAMES) or ""
    assert "rank 1 on b is before its first step; the others wait: rank 0 on a is before" in why
