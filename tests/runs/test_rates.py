"""True accept rates: what eval keeps in the folder of a run, and the report shows of it."""

from __future__ import annotations

import dataclasses
import re
from html import unescape
from pathlib import Path

import pytest

from mfn_patcher.runs import rates
from mfn_patcher.runs.rates import Rate
from mfn_patcher.runs.report import render
from mfn_patcher.runs.store import find
from tests.support.runs import LATIN_1, RECORD, SAMPLE_WITH_LOSS, make_run

RATE = Rate("2026-01-02T00:00:00+00:00", 4, "lfw", "/data/a", 0.99, 0.001, 0.0025, 0.98, 0.01, 3000)


def rate(checkpoint: int, name: str, tar: float, accuracy: float = 0.9) -> Rate:
    return dataclasses.replace(RATE, checkpoint=checkpoint, set=name, tar=tar, accuracy=accuracy)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_run(tmp_path, "20260101T000000-stage2-softmax", log=SAMPLE_WITH_LOSS)


def page(folder: Path) -> str:
    return unescape(render(find(folder.parents[1], "last")))


def row(folder: Path, name: str) -> str:
    """Return a row of the tables of the page, as text."""
    (found,) = re.findall(rf"<tr[^>]*><th scope=\"row\">{name}</th>(.*?)</tr>", page(folder))
    return re.sub(r"<[^>]+>", "|", found).strip("|")


def test_the_last_measurement_counts_and_damaged_lines_do_not(folder: Path) -> None:
    assert rates.read(folder) == []
    rates.append([rate(4, "lfw", 0.5), rate(2, "lfw", 0.6)], folder)
    with (folder / rates.FILE).open("ab") as file:
        file.write(b'{"checkpoint": 4, "set": "lfw"}\n' + b"[" * 100_000 + b'\n\xff\n{"measur')
    rates.append([RATE], folder)
    assert rates.read(folder) == [rate(2, "lfw", 0.6), RATE]
    elsewhere = dataclasses.replace(RATE, data_dir=LATIN_1.data_dir)
    rates.append([elsewhere], folder)
    assert rates.read(folder)[1] == elsewhere


def test_the_report_shows_the_best_and_the_last_with_their_pairs(folder: Path) -> None:
    rates.append(
        [
            rate(number, name, tar, accuracy)
            for number, tar, accuracy in ((2, 0.75, 0.9), (3, 0.875, 0.9), (4, 0.5, 0.8))
            for name in ("own", "agedb_30", "lfw")
        ],
        folder,
    )
    text = page(folder)
    assert "TAR in percent, at thresholds for a FAR of 0.001" in text
    names = re.findall(r'<th scope="col" class="number">([^<]*)</th>', text.partition("TAR in")[2])
    assert names[:3] == ["LFW", "AgeDB-30", "own"]
    cell = "87.50 ± 1.00|FAR 0.25, 3,000 pairs"
    assert row(folder, "Checkpoint 3, best") == "|||".join([cell] * 3)
    assert row(folder, "Checkpoint 4").startswith("50.00 ± 1.00")
    assert "Checkpoint 2" not in text
    assert "on the sets in /data/a." in text
    rates.append(
        [
            dataclasses.replace(rate(number, name, 0.5), data_dir=RECORD.data_dir)
            for number in (2, 3, 4)
            for name in ("own", "agedb_30", "lfw")
        ],
        folder,
    )
    assert "on the data set of the run." in page(folder)


def test_a_set_that_was_measured_for_one_checkpoint_only(folder: Path) -> None:
    rates.append([rate(2, "lfw", 0.75), rate(2, "own", 0.75), rate(4, "lfw", 0.5, 0.99)], folder)
    assert row(folder, "Checkpoint 4").endswith("||\N{EN DASH}")
    assert row(folder, "Checkpoint 2, best").startswith("75.00 ± 1.00")


def test_how_to_measure_them(folder: Path) -> None:
    assert "run <code>mfn-patch eval --model '/w/数据/model,4'</code>" in page(folder)
    rates.append([RATE], folder)
    assert "mfn-patch eval --model" not in page(folder)
    assert row(folder, "Checkpoint 4").startswith("98.00 ± 1.00")
