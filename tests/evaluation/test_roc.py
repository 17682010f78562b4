from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mfn_patcher.evaluation import roc
from mfn_patcher.evaluation.figures import Roc
from tests.evaluation.test_figures import FIGURES


@pytest.mark.parametrize(
    ("name", "start"),
    [("roc.png", b"\x89PNG"), ("roc.SVG", b"<?xml"), ("ro c 图.pdf", b"%PDF")],
)
def test_formats(tmp_path: Path, name: str, start: bytes) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed here")
    path = tmp_path / name
    roc.check(path)
    roc.draw("model, checkpoint 80", {"lfw": FIGURES, "agedb_30": FIGURES}, path)
    assert path.read_bytes().startswith(start)


def test_a_curve_begins_with_what_needs_no_false_accept() -> None:
    assert roc._curve(FIGURES.roc, 1e-4) == ([1e-4, 0.001, 0.5, 1.0], [0.9, 0.98, 1.0, 1.0])
    assert roc._curve(Roc((0.5, 1.0), (0.5, 1.0)), 1e-4) == ([1e-4, 0.5, 1.0], [0.0, 0.5, 1.0])


def refused(path: Path) -> roc.PlotError:
    with pytest.raises(roc.PlotError) as caught:
        roc.check(path)
    return caught.value


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ".png, .svg, .pdf" in refused(tmp_path / "roc.gif").remedy
    assert "there is no folder" in str(refused(tmp_path / "no" / "roc.png"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "mfn-patcher[plot]" in refused(tmp_path / "roc.png").remedy
