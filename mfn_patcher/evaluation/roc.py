"""Drawing receiver operating characteristics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mfn_patcher.evaluation.figures import FAR, Figures, Roc
from mfn_patcher.runs.panels import title_of
from mfn_patcher.runs.plot_style import COLOURS, DASHES, style, write

# The style's module says how to install matplotlib where it is missing, so it comes first.
import matplotlib as mpl  # isort: skip
from matplotlib.figure import Figure  # isort: skip


def draw(title: str, sets: Mapping[str, Figures], path: Path) -> None:
    """Draw the curves of a checkpoint.

    Args:
        title: title of the picture.
        sets: figures by verification set.
        path: file to write or replace; its suffix, ``.png`` or ``.svg``, determines the format.
    """
    lowest = min((fpr for found in sets.values() for fpr in found.roc.fpr if fpr), default=FAR)
    left = min(lowest, FAR) / 2
    curves = {name: _curve(found.roc, left) for name, found in sets.items()}
    with mpl.rc_context(style()):
        figure = Figure(figsize=(7, 5.2), layout="constrained")
        axes = figure.add_subplot()
        for index, (name, (fpr, tpr)) in enumerate(curves.items()):
            found = sets[name]
            axes.plot(
                fpr,
                tpr,
                color=COLOURS[index % len(COLOURS)],
                linestyle=DASHES[index % len(DASHES)],
                # Rates between two thresholds are not measured; that of the stricter one is drawn.
                drawstyle="steps-post",
                label=f"{title_of(name)}: accuracy {found.accuracy:.2%}, TAR {found.tar:.2%} "
                f"at FAR {found.far:.2%} ({found.different:,} different pairs)",
            )
        axes.axvline(FAR, color="0.5", linewidth=1, label=f"FAR {FAR:.2%}, the target")
        bottom = max(0, min(tpr[0] for _, tpr in curves.values()) - 0.05)
        axes.set(
            title=title,
            xlabel="false accept rate (FAR)",
            ylabel="true accept rate (TAR)",
            xscale="log",
            xlim=(left, 1),
            ylim=(bottom, 1 + (1 - bottom) / 50),
        )
        # The default labels of this scale are formulas, which the style cannot draw.
        axes.xaxis.set_major_formatter("{x:g}")
        figure.legend(loc="outside lower center", frameon=False)
    write(figure, path)


def _curve(roc: Roc, left: float) -> tuple[list[float], list[float]]:
    """Return the points of a curve; a point without false accepts is placed at the left edge."""
    accepted = [tpr for fpr, tpr in zip(roc.fpr, roc.tpr) if fpr == 0]
    points = [(fpr, tpr) for fpr, tpr in zip(roc.fpr, roc.tpr) if fpr]
    start = (left, max(accepted, default=0.0))
    fpr, tpr = zip(start, *points)
    return list(fpr), list(tpr)
