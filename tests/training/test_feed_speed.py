"""What is said of measured rates, and what is refused before anything is measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mfn_patcher.errors import ExitCode
from mfn_patcher.training.feed_speed import (
    FeedRate,
    FeedRates,
    available_memory,
    default_workers,
    verdict,
)
from tests.support.tool import Tool

RATES = FeedRates(
    feeds=(FeedRate(1, 3000.0, 4000.0), FeedRate(2, 6000.0, 8000.0)),
    upstream=1000.0,
    upstream_error=None,
    disk=20_000.0,
    image_bytes=9000.0,
    cores=2,
    file_bytes=30 << 30,
    memory_bytes=20 << 30,
)


def test_decoding_on_every_core() -> None:
    assert "each additional core would feed about 3,000" in verdict(RATES)


def test_cores_are_free() -> None:
    assert "decode-bound: 4 workers would feed about 12,000" in verdict(
        dataclasses.replace(RATES, cores=8)
    )
    assert "decode-bound: 3 workers would feed about 9,000" in verdict(
        dataclasses.replace(RATES, cores=3)
    )


def test_more_workers_than_cores_tell_nothing() -> None:
    one = dataclasses.replace(RATES, cores=1)
    assert "each additional core would feed about 3,000" in verdict(one)
    only_many = dataclasses.replace(RATES, feeds=RATES.feeds[1:], cores=1)
    assert "each additional core would feed about 3,000" in verdict(only_many)


def test_a_slow_disk_counts_if_memory_cannot_hold_the_file() -> None:
    slow = dataclasses.replace(RATES, disk=5000.0)
    assert verdict(slow).startswith("disk-bound: the disk reads 5,000 images/s (45 MB/s)")
    assert "decode-bound" in verdict(dataclasses.replace(slow, file_bytes=19 << 30))


def test_handing_over_takes_longer_than_decoding() -> None:
    slow = dataclasses.replace(RATES, feeds=(FeedRate(2, 3000.0, 8000.0),))
    assert verdict(slow).startswith("bound by handing over batches")


@pytest.mark.parametrize(
    ("cores", "expected"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (64, (1, 2, 4, 8))]
)
def test_workers_to_try(
    cores: int, expected: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert default_workers() == expected


def test_memory(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    assert available_memory(path) == 0
    path.write_text("MemTotal:  2048 kB\nMemAvailable:   1024 kB\n")
    assert available_memory(path) == 1 << 20
    path.write_text("MemTotal:  2048 kB\n")
    assert available_memory(path) == 0


def test_refused(tool: Tool, tmp_path: Path) -> None:
    refused = tool("bench", "feed", tmp_path, "--workspace", tmp_path)
    assert refused.code == ExitCode.ERROR
    assert "no " + str(tmp_path / "src" / "image_iter.py") in refused.err
    assert "mfn-patch apply" in refused.err
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "image_iter.py").touch()
    refused = tool("bench", "feed", tmp_path, "--workspace", tmp_path)
    assert refused.code == ExitCode.ERROR
    assert f"{tmp_path / 'train.rec'} does not exist" in refused.err
