"""What is said of a measured step, and what is refused before anything is measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mfn_patcher.errors import ExitCode
from mfn_patcher.recipes import loading
from mfn_patcher.training.feed_speed import FeedRate, FeedRates
from mfn_patcher.training.step_speed import StepRates, Workload, default_stage
from tests.support.tool import Tool

FEED = FeedRates(
    feeds=(FeedRate(8, 6000.0, 8000.0),),
    upstream=1000.0,
    upstream_error=None,
    disk=4000.0,
    image_bytes=9000.0,
    cores=8,
    file_bytes=30 << 30,
    memory_bytes=40 << 30,
)
RATES = StepRates(
    identities=85164,
    compute=5000.0,
    forward=15000.0,
    training=4900.0,
    feed=FEED,
    peak_bytes=20 << 30,
)


def test_the_slowest_part_bounds_training() -> None:
    assert RATES.bound == "compute"
    assert RATES.verdict().startswith("Training is bound by computation")
    faster = dataclasses.replace(RATES, compute=7000.0)
    assert faster.bound == "feed"
    assert "bound by its feed. The feed is decode-bound" in faster.verdict()


def test_the_disk_bounds_training_if_memory_cannot_hold_the_data_set() -> None:
    small = dataclasses.replace(RATES, feed=dataclasses.replace(FEED, memory_bytes=20 << 30))
    assert small.bound == "disk"
    assert "The feed is disk-bound: the disk reads 4,000 images/s" in small.verdict()


def test_without_a_data_set_only_the_computation_is_known() -> None:
    alone = dataclasses.replace(RATES, training=None, feed=None)
    assert alone.parts == {"compute": 5000.0}
    assert "--data-dir" in alone.verdict()
    assert (RATES.best, alone.best) == (4900.0, 5000.0)


def test_hours_of_a_recipe_that_measures_a_set_of_ones_own() -> None:
    """Its size is unknown, and it is small beside the published sets."""
    assert Workload.of(loading.load("finetune-own")) == Workload(3000 * 64, 0)


def test_hours_of_the_documented_recipe() -> None:
    recipe = loading.load()
    work = Workload.of(recipe)
    # 250,000 steps of 512 images, and 125 verifications of 19,000 pairs.
    assert work == Workload(trained=128_000_000, verified=125 * 19_000 * 4)
    assert work.hours(4900.0, 15000.0) == pytest.approx(7.432, abs=1e-3)
    assert default_stage(recipe).name == "arcface"


def test_refused(tool: Tool, tmp_path: Path) -> None:
    bench = ("bench", "step", "--cpu", "--workspace", tmp_path)
    refused = tool(*bench)
    assert refused.code == ExitCode.ERROR
    assert f"{tmp_path / 'src' / 'train_softmax.py'} does not exist" in refused.err
    assert "mfn-patch apply" in refused.err
    assert "no stage 'nonsense'" in tool(*bench, "--stage", "nonsense").err
    refused = tool(*bench, "--gpus", "0")
    assert refused.code == ExitCode.USAGE
    assert "--cpu and --gpus are mutually exclusive" in refused.err
