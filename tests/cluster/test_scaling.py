"""The arithmetic of scaling, and the tables in docs/cluster.md that show its results."""

from __future__ import annotations

import re

import pytest

from mfn_patcher.cluster.scaling import Traffic, worth
from tests.support.repositories import ROOT

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")


def test_bytes_of_a_step() -> None:
    assert Traffic(1).fc7_bytes == 85164 * 128 * 4 == 43_603_968
    assert Traffic(1).gradient_bytes == 47_617_024
    assert Traffic(1).sent_bytes == 0
    assert Traffic(2).sent_bytes == 47_617_024
    assert Traffic(4).sent_bytes == 1.5 * 47_617_024
    assert Traffic(2, identities=0).sent_bytes == 1_003_264 * 4


@pytest.mark.parametrize("gigabits", [1, 10, 25, 100])
@pytest.mark.parametrize("alone", [0.2, 0.9])
def test_worthwhile_hosts_compute_half_of_the_time(gigabits: float, alone: float) -> None:
    hosts = worth(alone, gigabits)
    assert alone / hosts >= Traffic(hosts).seconds(gigabits)
    assert alone / (hosts + 1) < Traffic(hosts + 1).seconds(gigabits)


def test_bytes_in_the_document() -> None:
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) MB \|", PAGE, re.MULTILINE)
    assert rows == [(str(n), f"{Traffic(n).sent_bytes / 1e6:.1f}") for n in (2, 4, 8, 16)]


def test_hosts_in_the_document() -> None:
    rows = re.findall(r"^\| ([\d.]+) s \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == ["0.87", "0.2"]
    for alone, *shown in rows:
        assert shown == [str(worth(float(alone), gigabits)) for gigabits in (1, 10, 25, 100)]


def test_seconds_in_the_document() -> None:
    rows = re.findall(r"^\| (\d+) Gbit/s \| (.+) \|$", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == ["1", "10", "25", "100"]
    for gigabits, cells in rows:
        shown = cells.split(" | ")
        cost = [Traffic(n).seconds(float(gigabits)) for n in (2, 4, 8)]
        faster = [0.87 / Traffic(n).split(0.87, float(gigabits)) for n in (2, 4, 8)]
        more = [n * 0.87 / Traffic(n).grown(0.87, float(gigabits)) for n in (2, 4, 8)]
        expected = [f"{seconds:.3f} s" for seconds in cost]
        expected += [f"{factor:.1f}" for factor in (*faster, *more)]
        assert shown == expected
