"""Drawing receiver operating characteristics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.evaluation.figures import FAR, Figures, Roc

_FORMATS = (".png", ".svg", ".pdf")
# Okabe and Ito's, which the colour-blind can tell apart; lines differ too, for print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", "-.", ":")


class PlotError(MfnPatchError):
    """A picture can't be drawn."""


def check(path: Path) -> None:
    """Refuse, before hours of work, what could not be drawn after them.

    Raises:
        PlotError: The file can't be written or is of an unknown format, or matplotlib is missing.
    """
    if path.suffix.lower() not in _FORMATS:
        raise PlotError(
            f"{path} is of no known format", remedy=f"End its name in {', '.join(_FORMATS)}."
        )
    if not path.absolute().parent.is_dir():
        raise PlotError(f"there is no folder {path.absolute().parent}", remedy="Make it first.")
    try:
        import matplotlib  # noqa: F401, PLC0415
    except ImportError as error:
        raise PlotError(
            f"matplotlib can't be imported: {error}",
            remedy="Install it with `pip install 'mfn-patcher[plot]'`.",
        ) from error


def draw(title: str, sets: Mapping[str, Figures], path: Path) -> None:
    """Draw the curves of a checkpoint.

    Args:
        title: Above the picture.
        sets: Figures by verification set.
        path: The picture; its ending chooses the format.
    """
    # Slow to import, and an extra.
    from matplotlib.figure import Figure  # noqa: PLC0415

    lowest = min((fpr for found in sets.values() for fpr in found.roc.fpr if fpr), default=FAR)
    left = min(lowest, FAR) / 2
    curves = {name: _curve(found.roc, left) for name, found in sets.items()}
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot()
    for index, (name, (fpr, tpr)) in enumerate(curves.items()):
        axes.plot(
            fpr,
            tpr,
            color=_COLOURS[index % len(_COLOURS)],
            linestyle=_LINES[index % len(_LINES)],
            # A rate between two thresholds is not measured: that of the stricter one holds.
            drawstyle="steps-post",
            label=f"{name}: accuracy {sets[name].accuracy:.2%}, TAR {sets[name].tar:.2%}",
        )
    axes.axvline(FAR, color="0.6", linewidth=1, label=f"FAR {FAR:g}")
    bottom = max(0, min(tpr[0] for _, tpr in curves.values()) - 0.05)
    axes.set(
        title=title,
        xlabel="false accept rate (FAR)",
        ylabel="true accept rate (TAR)",
        xscale="log",
        xlim=(left, 1),
        ylim=(bottom, 1 + (1 - bottom) / 50),
    )
    axes.grid(visible=True, color="0.9")
    figure.legend(loc="outside lower center", ncols=1)
    figure.savefig(path, dpi=150)


def _curve(roc: Roc, left: float) -> tuple[list[float], list[float]]:
    """Return the points of a curve; that of no false accepts stands at the axis's left edge."""
    accepted = [tpr for fpr, tpr in zip(roc.fpr, roc.tpr) if fpr == 0]
    points = [(fpr, tpr) for fpr, tpr in zip(roc.fpr, roc.tpr) if fpr]
    start = (left, max(accepted, default=0.0))
    fpr, tpr = zip(start, *points)
    return list(fpr), list(tpr)
