from __future__ import annotations

import math
from pathlib import Path

import pytest

from mfn_patcher.runs.events import Arguments, CheckpointSaved, NotFinite, Speed, Verification
from mfn_patcher.training.watch.alarms import Alarm, Alarms


class Watched:
    """Alarms with a clock and a disk of our own."""

    def __init__(self, folder: Path) -> None:
        self.told: list[Alarm] = []
        self.now = 0.0
        self.room = 10**12
        self.alarms = Alarms(
            folder / "model", self.told.append, clock=lambda: self.now, free=lambda _: self.room
        )

    def speed(self, step: int, accuracy: float | None = 0.5, loss: float | None = None) -> None:
        self.alarms(Speed(None, 0, step - 1, step, 100.0, accuracy, loss))

    def saved(self, number: int) -> None:
        self.alarms(CheckpointSaved(None, number, f"model-{number:04d}.params", None))

    @property
    def kinds(self) -> list[str]:
        return [alarm.kind for alarm in self.told]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_the_last_good_checkpoint_is_named(watched: Watched) -> None:
    watched.saved(1)
    watched.speed(100, loss=3.0)
    watched.saved(2)
    watched.alarms(NotFinite(None, "loss", "nan", 140, None))
    (alarm,) = watched.told
    assert alarm.stops
    assert "loss is nan at step 140" in alarm.message
    assert "last good checkpoint is" in alarm.message
    assert "model,1." in alarm.message
    assert "Do not use checkpoint 2, which was saved after it" in alarm.message


def verified(watched: Watched, step: int, *accuracies: float) -> None:
    for number, accuracy in enumerate(accuracies):
        watched.alarms(Verification(None, f"set{number}", step, accuracy, 0.1, 9.0, None, None))


def test_a_checkpoint_with_finite_figures_is_good(watched: Watched) -> None:
    verified(watched, 4, 0.5, 0.6)
    watched.saved(1)
    verified(watched, 8, math.nan, 0.5)
    watched.alarms(NotFinite(None, "accuracy", "nan", 8, "set0"))
    watched.saved(2)
    (alarm,) = watched.told
    assert "accuracy of set0 is nan at step 8. The last good checkpoint is" in alarm.message
    assert "model,1. A lower" in alarm.message


def test_a_checkpoint_with_one_figure_that_is_not_finite_is_not_good(watched: Watched) -> None:
    verified(watched, 4, 0.5, 0.6)
    watched.saved(1)
    verified(watched, 8, math.nan, 0.5)
    watched.saved(2)
    watched.alarms(NotFinite(None, "loss", "nan", 21, None))
    (alarm,) = watched.told
    assert "model,1. Do not use checkpoint 2, which was saved after it" in alarm.message


def test_it_is_told_once(watched: Watched) -> None:
    for step in (20, 40):
        watched.alarms(NotFinite(None, "accuracy", "nan", step, None))
    assert watched.kinds == ["not-finite"]


@pytest.mark.parametrize(("accuracy", "kinds"), [(1e-5, ["chance"]), (1e-3, [])])
def test_training_accuracy_at_chance(watched: Watched, accuracy: float, kinds: list[str]) -> None:
    watched.alarms(Arguments(None, {"num_classes": 85164}))
    for step in range(20, 2000, 20):
        watched.speed(step, 0.0 if step < 1000 else accuracy)
    assert watched.told == [], "it takes its time"
    for step in range(2000, 4000, 20):
        watched.speed(step, accuracy)
    assert watched.kinds == kinds


def test_chance_is_judged_over_as_many_steps_in_short_epochs(watched: Watched) -> None:
    watched.alarms(Arguments(None, {"num_classes": 100}))
    for step in range(5, 2351, 5):
        watched.speed(step, 0.25 if step <= 1500 else 0.0)
    assert watched.told == [], "a seventh of the last 1,000 steps was good"
    for step in range(2355, 2401, 5):
        watched.speed(step, 0.0)
    assert watched.kinds == ["chance"]


@pytest.mark.parametrize(("accuracy", "kinds"), [(0.45, ["chance"]), (0.9, [])])
def test_few_identities_can_be_told_apart(
    watched: Watched, accuracy: float, kinds: list[str]
) -> None:
    watched.alarms(Arguments(None, {"num_classes": 3}))
    for step in range(20, 4000, 20):
        watched.speed(step, accuracy)
    assert watched.kinds == kinds


@pytest.mark.parametrize(
    ("name", "step", "accuracy", "kinds"),
    [
        ("lfw", 2000, 0.51, ["chance"]),
        ("lfw", 2000, 0.84, []),
        ("lfw", 500, 0.51, []),
        ("cfp_fp", 2000, 0.51, []),
    ],
)
def test_lfw_at_chance(
    watched: Watched, name: str, step: int, accuracy: float, kinds: list[str]
) -> None:
    watched.alarms(Verification(None, name, step, accuracy, 0.01, 9.0, None, None))
    assert watched.kinds == kinds


def test_silence(watched: Watched) -> None:
    watched.now = 590
    watched.alarms.tick()
    assert watched.told == []
    watched.now = 610
    watched.alarms.tick()
    watched.alarms.tick()
    assert watched.kinds == ["silence"]
    watched.alarms.heard(b"x")
    watched.now = 2000
    watched.alarms.tick()
    assert watched.kinds == ["silence"], "a machine that was silent so long before may be again"
    watched.now = 4000
    watched.alarms.tick()
    assert watched.kinds == ["silence", "silence"]


def test_a_disk_nearly_full(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "model-0001.params").write_bytes(bytes(1000))
    watched.room = 2000
    watched.saved(1)
    assert watched.told == []
    watched.room = 1999
    watched.now = 61
    watched.alarms.tick()
    watched.alarms.tick()
    assert watched.kinds == ["disk"]
    assert str(tmp_path) in watched.told[0].message
