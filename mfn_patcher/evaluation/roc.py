"""Drawing receiver operating characteristics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.evaluation.figures import FAR, Figures

_FORMATS = (".png", ".svg", ".pdf")
# Okabe and Ito's, which the colour-blind can tell apart; lines differ too, for print.
_STYLES = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":"))


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

    # A rate of no false positives can't stand on a logarithmic axis, but at its left edge.
    lowest = min(
        (rate for figures in sets.values() for rate in figures.roc.fpr if rate), default=FAR
    )
    left = min(lowest, FAR) / 2
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for index, (name, figures) in enumerate(sets.items()):
        colour, line = _STYLES[index % len(_STYLES)]
        axes.plot(
            [max(rate, left) for rate in figures.roc.fpr],
            figures.roc.tpr,
            color=colour,
            linestyle=line,
            label=f"{name}: accuracy {figures.accuracy:.2%}, TAR {figures.tar:.2%}",
        )
    axes.axvline(FAR, color="0.6", linewidth=1, label=f"FAR {FAR:g}")
    axes.set(
        title=title,
        xlabel="false accept rate (FAR)",
        ylabel="true accept rate (TAR)",
        xscale="log",
        xlim=(left, 1),
        ylim=(0, 1.01),
    )
    axes.grid(visible=True, color="0.9")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)
