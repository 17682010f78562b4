from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import pytest

from mfn_patcher.evaluation import roc
from mfn_patcher.evaluation.figures import Roc
from tests.support.evaluation import FIGURES


@pytest.mark.parametrize(("name", "start"), [("roc.png", b"\x89PNG"), ("ro c 图.svg", b"<?xml")])
def test_formats(tmp_path: Path, name: str, start: bytes) -> None:
    roc.draw("模型, checkpoint 80", {"lfw": FIGURES, "agedb_30": FIGURES}, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes().startswith(start)


def test_labels_are_text(tmp_path: Path) -> None:
    with mpl.rc_context({"svg.fonttype": "none"}):
        roc.draw("model, checkpoint 80", {"lfw": FIGURES}, tmp_path / "roc.svg")
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "roc.svg").read_text())
    label = "LFW: accuracy 99.50%, TAR 98.00% at FAR 0.25% (3,000 different pairs)"
    assert {"0.001", "0.01", "0.1", "1", label} <= set(texts)
    assert not any("$" in text for text in texts)


def test_a_curve_begins_with_what_needs_no_false_accept() -> None:
    assert roc._curve(FIGURES.roc, 1e-4) == ([1e-4, 0.001, 0.5, 1.0], [0.9, 0.98, 1.0, 1.0])
    assert roc._curve(Roc((0.5, 1.0), (0.5, 1.0)), 1e-4) == ([1e-4, 0.5, 1.0], [0.0, 0.5, 1.0])
