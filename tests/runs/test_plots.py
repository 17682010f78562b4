"""The pictures: what is in them, that nothing overlaps, and where they are written."""

from __future__ import annotations

import importlib
import io
import itertools
import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.recipes import published
from mfn_patcher.remedies import install
from mfn_patcher.runs import plots
from mfn_patcher.runs.log import read_events
from mfn_patcher.runs.panels import PlotError, PlottedRun, panels, published_for
from mfn_patcher.runs.plots import figure_of, spread
from mfn_patcher.runs.summary import summarise
from tests.support.runs import SAMPLE, SAMPLE_WITH_LOSS, SHORT_EPOCHS, make_run, reference
from tests.support.tool import Tool


def series(log: Path | bytes, label: str = "") -> PlottedRun:
    content, name = (log, "run") if isinstance(log, bytes) else (log.read_bytes(), log.stem)
    (run,) = summarise(read_events(io.BytesIO(content)), name, curves=True)
    return PlottedRun(label or name, run)


def texts(figure: Figure) -> list[Text]:
    """Return all text that is drawn."""
    drawn: dict[int, Text] = {}

    def draw(text: Text, renderer: object) -> None:
        drawn[id(text)] = text
        original(text, renderer)

    original: Any = Text.draw
    figure.draw_without_rendering()  # the layout settles
    with mock.patch.object(Text, "draw", draw):
        figure.draw_without_rendering()
    return [text for text in drawn.values() if text.get_text() and text.get_visible()]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    # Of a label with a line to it, the text alone.
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts(figure)]
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0, text
        assert box.y1 <= figure.bbox.y1, text
    return [
        (a, b)
        for (a, box_a), (b, box_b) in itertools.combinations(boxes, 2)
        if box_a.padded(-1).overlaps(box_b.padded(-1))
    ]


def test_an_own_run() -> None:
    one = series(SAMPLE)
    keys = [panel.key for panel in panels([one])]
    assert keys == ["accuracy", "speed", "lfw", "cfp_fp", "agedb_30"]
    figure = figure_of([one])
    shown = {text.get_text() for text in texts(figure)}
    assert {"training", "lr 0.005", "lr 0.0005", "98.78 log of stage 2", "step"} <= shown
    drawn: list[Any] = list(figure.axes[2].lines)
    assert list(drawn[0].get_xdata()) == [500, 1000, 1500, 2000]
    assert list(drawn[0].get_ydata()) == pytest.approx([45, 45, 60, 60])
    verticals = {line.get_xdata()[0] for line in drawn if len(set(line.get_xdata())) == 1}
    assert verticals == {700, 1500}
    assert not overlaps(figure)


def test_the_loss_where_it_was_printed() -> None:
    one = series(SAMPLE_WITH_LOSS)
    figure = figure_of([one])
    assert panels([one])[0].key == "loss"
    drawn: Any = figure.axes[0].lines[0]
    assert list(drawn.get_xdata())[:2] == [21, 41]
    assert list(drawn.get_ydata())[:2] == pytest.approx([9, 8.98])
    assert not overlaps(figure)


def test_loss_and_accuracy_of_short_epochs() -> None:
    figure = figure_of([series(SHORT_EPOCHS)])
    curves: list[Any] = [axes.lines[0] for axes in figure.axes[:2]]
    assert [panel.key for panel in panels([series(SHORT_EPOCHS)])][:2] == ["loss", "accuracy"]
    assert [list(curve.get_xdata()) for curve in curves] == [[3, 6]] * 2
    assert [list(curve.get_ydata()) for curve in curves] == [[1.336271, 2.76353], [50, 50]]


def test_a_curve_of_one_point_is_seen() -> None:
    head, mark, rest = SAMPLE_WITH_LOSS.partition(b"INFO:root:Epoch[0] Batch [0-20]")
    figure = figure_of([series(head + mark + rest.partition(b"\n")[0] + b"\n")])
    curves: list[Any] = [axes.lines[0] for axes in figure.axes]
    assert [(len(curve.get_xdata()), curve.get_marker()) for curve in curves] == [(1, "o")] * 3
    whole: list[Any] = [axes.lines[0] for axes in figure_of([series(SAMPLE)]).axes]
    assert [curve.get_marker() for curve in whole[:2]] == ["None", "None"]


def test_no_axis_goes_beyond_100_percent() -> None:
    flips = rb"(Accuracy-Flip: )[0-9.]+"
    figure = figure_of([series(re.sub(flips, rb"\g<1>0.99762", SAMPLE.read_bytes()))])
    figure.draw_without_rendering()
    for axes in figure.axes[2:]:
        assert 100 < axes.get_ylim()[1] < 101
        assert 100 in axes.get_yticks()
    assert not overlaps(figure)


def test_runs_over_each_other_are_told_apart() -> None:
    figure = figure_of([series(SAMPLE, f"run {n}") for n in range(8)])
    lines = [line for line in figure.axes[2].lines if str(line.get_label()).startswith("run ")]
    looks = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(looks) == 8
    assert {f"run {n}" for n in range(8)} <= {text.get_text() for text in texts(figure)}
    assert not overlaps(figure)


def test_what_overlaps_is_found() -> None:
    figure = figure_of([series(SAMPLE)])
    figure.axes[0].annotate("on the axis", (0.5, -0.05), xycoords="axes fraction")
    figure.axes[0].annotate("on the axis", (0.51, -0.05), xycoords="axes fraction")
    assert overlaps(figure) == [("on the axis", "on the axis")]


@pytest.mark.parametrize(
    "names",
    [
        ["arcface_loss_test2.log"],
        ["softmax_loss_test2.log"],
        ["softmax_loss_test2.log", "arcface_loss_test2.log"],
    ],
)
def test_nothing_overlaps_with_all_published_figures(names: list[str]) -> None:
    figure = figure_of([series(reference(name)) for name in names])
    assert not overlaps(figure)
    shown = " ".join(text.get_text() for text in texts(figure))
    for entry in published_for([series(reference(name)) for name in names]):
        assert entry.label in shown


def test_published_figures_are_those_of_the_loss() -> None:
    assert {entry.loss_type for entry in published_for([series(SAMPLE)])} == {0}
    unknown = series(SAMPLE)
    unknown.summary.arguments = {}
    assert published_for([unknown]) == list(published.load())


def test_published_figures_are_those_of_the_reference() -> None:
    readme = reference("softmax_loss_test2.log").parents[1] / "README.md"
    table = readme.read_text().partition("## Published accuracy")[2]
    rows = [re.findall(r"\d\d\.\d+", line) for line in table.splitlines() if line.startswith("|")]
    numbers = sorted(float(number) for row in rows for number in row)
    ours = sorted(value for entry in published.load() for value in entry.accuracies.values())
    assert ours == numbers


@given(
    st.lists(st.floats(0, 100), max_size=12).map(sorted),
    st.floats(0.1, 5),
)
def test_labels_are_spread(values: list[float], gap: float) -> None:
    places = spread(values, gap, 101)
    assert all(after - before >= gap * 0.999 for before, after in itertools.pairwise(places))
    assert all(place <= 101 for place in places)
    if all(after - before >= gap for before, after in itertools.pairwise(values)):
        assert places == pytest.approx(values)


def test_names_are_not_formulas(tmp_path: Path, tool: Tool) -> None:
    log = tmp_path / "a $\\frac$ 数据 <b>&.log"
    shutil.copy(SAMPLE, log)
    out = tmp_path / "out.svg"
    assert tool("plot", log, "-o", out).code == 0
    assert ET.parse(out).getroot().tag.endswith("svg")


def test_files(tmp_path: Path, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = tool("plot", SAMPLE)
    assert (ran.code, ran.out) == (0, "training.png\n")
    with Image.open("training.png") as image:
        assert image.width == 1500
    before = Path("training.png").read_bytes()
    for output in ((), ("-o", "training.png")):
        refused = tool("plot", SAMPLE, SAMPLE, *output)
        assert (refused.code, refused.err) == (
            ExitCode.ERROR,
            "mfn-patch: training.png already exists\nChoose another name, or pass --overwrite.\n",
        )
    assert Path("training.png").read_bytes() == before
    assert tool("plot", SAMPLE, SAMPLE, "--overwrite").code == 0
    assert Path("training.png").read_bytes() != before
    assert tool("plot", SAMPLE, "-o", SAMPLE).code == ExitCode.USAGE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["training.png"]


def test_runs_and_logs_together(tmp_path: Path, tool: Tool) -> None:
    make_run(tmp_path, "20260101T000000-stage2-softmax")
    out = tmp_path / "out.svg"
    assert tool("plot", "last", SAMPLE, "-w", tmp_path, "-o", out).code == 0
    twice = tmp_path / "twice.log"
    twice.write_bytes(SAMPLE.read_bytes() * 2)
    assert tool("plot", twice, "-w", tmp_path, "-o", out, "--overwrite").code == 0
    assert "there is no run 'zzz'" in tool("plot", "zzz", "-w", tmp_path).err


def test_nothing_to_draw(tmp_path: Path, tool: Tool) -> None:
    make_run(tmp_path, "20260101T000000-stage2-softmax", log=SAMPLE.read_bytes()[:1900])
    ran = tool("plot", "last", "-w", tmp_path, "-o", tmp_path / "out.png")
    assert ran.code == ExitCode.ERROR
    assert "no training line and no verification" in ran.err
    make_run(tmp_path, "20260102T000000-stage2-softmax", log=b"nothing")
    assert tool("plot", "last", "-w", tmp_path, "-o", tmp_path / "out.png").code == ExitCode.ERROR
    assert not (tmp_path / "out.png").exists()
    with pytest.raises(PlotError):
        panels([])


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tool: Tool) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("plots", "plot_style"):
        monkeypatch.delitem(sys.modules, f"mfn_patcher.runs.{name}")
    with pytest.raises(MfnPatchError) as error:
        importlib.import_module("mfn_patcher.runs.plots")
    assert f"`{install('plot')}`" in error.value.remedy
    ran = tool("plot", SAMPLE)
    assert ran.code == ExitCode.ERROR
    assert "Traceback" not in ran.err


def test_a_panel_for_a_page_takes_its_colours_from_the_page() -> None:
    one = series(SAMPLE)
    svgs = [plots.draw_panel(panel, one) for panel in panels([one])]
    for svg in svgs:
        root = ET.fromstring(svg)
        assert "currentColor" in svg
        assert "var(--curve)" in svg
        assert not re.search("#[0-9a-fA-F]{6}(?!.*clip)", re.sub(r"url\(#\w+|href=\"#\S+", "", svg))
        ids = [element.get("id") for element in root.iter() if element.get("id")]
        assert len(ids) == len(set(ids))
    every = [name for svg in svgs for name in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(every) == len(set(every))
    for svg in svgs:
        for target in re.findall(r'(?:url\(#|href="#)([^")]+)', svg):
            assert f'id="{target}"' in svg
    assert json.dumps(svgs)
