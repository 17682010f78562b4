"""The pictures in the README show what is drawn today."""

from __future__ import annotations

import importlib.util
import io
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from rich.console import Console

from mfn_patcher.runs import rates
from mfn_patcher.runs.events import CheckpointSaved, LearningRate, Speed, Verification
from mfn_patcher.runs.rates import Rate
from mfn_patcher.runs.report import render
from mfn_patcher.runs.store import find
from mfn_patcher.training.watch.display import Display
from tests.support.repositories import ROOT
from tests.support.runs import SAMPLE_WITH_LOSS, make_run

PICTURES = ROOT / "docs" / "pictures"
AGAIN = "make the pictures again: .venv/bin/python docs/pictures/capture.py"


@pytest.fixture(scope="module")
def capture() -> ModuleType:
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = importlib.util.spec_from_file_location("capture", PICTURES / "capture.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    path = [*sys.path]
    found.loader.exec_module(module)
    sys.path[:] = path
    return module


def test_the_terminal_shows_what_the_display_shows(capture: ModuleType, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    display = Display("stage 2 (softmax)", tmp_path / "x-stage2-softmax", 120, 8, console)
    (tmp_path / "x-stage2-softmax").mkdir()
    line = "0 100 data 700000000 0".ljust(79)
    display(LearningRate(None, 0, 0.1))
    for name in ("lfw", "cfp_fp", "agedb_30"):
        display(Verification(None, name, 80, 0.5, 0.1, None, None, None))
    display(CheckpointSaved(None, 2, "model-0002.params", 80))
    for step in (21, 81):
        (tmp_path / "x-stage2-softmax" / "progress").write_text(line.replace("100", str(step)))
        display(Speed(None, 0, step - 1, step, 9.0, 0.25, 3.0))
        display._began -= 10
        if display._first:
            display._first = display._first[0] - 10, display._first[1]
        display._look()
    drawn = " ".join(line.plain for line in display.render(84))
    picture = (PICTURES / "train.svg").read_text(encoding="utf-8")
    assert capture.words_of_picture(picture) == capture.words_of(drawn), AGAIN
    shown = re.sub(r"&#160;|\s", " ", re.sub(r"<[^>]*>", "", picture))
    for line in capture.COMMAND.splitlines():
        assert line.strip() in shown, AGAIN


def test_the_report_has_the_parts_of_a_report(capture: ModuleType, tmp_path: Path) -> None:
    folder = make_run(tmp_path, "20260101T000000-stage2-softmax", log=SAMPLE_WITH_LOSS)
    sets = ("lfw", "cfp_fp", "agedb_30")
    rates.append(
        [Rate("", 1, name, "/data", 0.5, 0.001, 0.1, 0.5, 0.1, 10) for name in sets], folder
    )
    names = capture.NamesOfPage(render(find(tmp_path, "last"))).names
    assert {"Summary", "State", "LFW", "Training loss, over the steps"} <= set(names)
    with Image.open(PICTURES / "report.png") as picture:
        assert picture.text[capture.NAMES].split("\n") == names, AGAIN  # type: ignore[attr-defined]
        assert picture.width >= 800


@pytest.mark.parametrize("name", ["train.svg", "report.png"])
@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_they_are_in_the_first_screen(name: str, readme: str) -> None:
    assert (PICTURES / name).stat().st_size < 200_000
    first = (ROOT / readme).read_text(encoding="utf-8").split("\n## ")[0]
    assert f"(docs/pictures/{name})" in first
    assert first.count("\n") < 50


def test_the_terminal_loads_nothing_and_names_no_machine() -> None:
    text = (PICTURES / "train.svg").read_text(encoding="utf-8")
    ET.fromstring(text)
    assert "url(" not in re.sub(r"url\(#", "", text)
    assert "/tmp" not in text
    assert "/root" not in text
