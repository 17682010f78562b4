"""Plots of training: curves of one or several runs, with published results beside them."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfn_patcher.runs.panels import Panel, PlottedRun, panels, points_of, published_on
from mfn_patcher.runs.plot_style import COLOURS, DASHES, INK, style, write

# The style's module says how to install matplotlib where it is missing, so it comes first.
import matplotlib as mpl  # isort: skip
from matplotlib.figure import Figure  # isort: skip
from matplotlib.ticker import FuncFormatter, MaxNLocator  # isort: skip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "os^Dv*"
_POINTS_PER_INCH = 72
_PAGE_TEXT = 11.5  # points; a phone shows a page at about a pixel per point
_LABEL = 0.8  # of the text size
_DENSE = 200  # verifications, beyond which their markers would overlap
_ABOVE = 0.04  # of the height of an axis of accuracies, above 100 %


def draw(runs: Sequence[PlottedRun], path: Path) -> None:
    """Draw all diagrams of runs, one above the other, over the same steps.

    Args:
        runs: the runs.
        path: file to write or replace; its suffix determines the format, ``.png`` or ``.svg``.

    Raises:
        PlotError: there is nothing to draw.
    """
    write(figure_of(runs), path)


def figure_of(runs: Sequence[PlottedRun]) -> Figure:
    """Return the picture that `draw` writes.

    Raises:
        PlotError: there is nothing to draw.
    """
    shown = panels(runs)
    height = 2.2  # inches
    with mpl.rc_context(style()):
        figure = Figure(figsize=(10, height * len(shown) + 0.9), layout="constrained")
        axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for panel, axis in zip(shown, axes):
            _draw_panel(axis, panel, runs, height=height, sources=True)
        _label_rates(axes[0], runs, width=7)
        axes[-1].set_xlabel("step")
        figure.align_ylabels(axes)
        if len(runs) > 1:
            handles = axes[-1].get_legend_handles_labels()
            figure.legend(*handles, loc="outside upper left", frameon=False)
        else:
            figure.suptitle(runs[0].label, x=0.01, ha="left")
    return figure


def draw_panel(panel: Panel, run: PlottedRun) -> str:
    """Draw one small diagram, as an ``<svg>`` element for a page.

    Its text stays text, its background is transparent, and its colours are those of the page:
    ``currentColor`` for text and axes, ``var(--curve)`` for the curve.

    Args:
        panel: the diagram.
        run: the run.
    """
    settings: Any = {**style(_PAGE_TEXT), "svg.fonttype": "none", "svg.hashsalt": panel.key}
    height = 2.8
    with mpl.rc_context(settings):
        figure = Figure(figsize=(4.6, height), layout="constrained")
        figure.patch.set_visible(False)
        axis = figure.subplots()
        axis.patch.set_visible(False)
        _draw_panel(axis, panel, [run], height=height, sources=False)
        if not panel.is_verification:  # those have published results in that corner
            _label_rates(axis, [run], width=3.6)
        axis.set_xlabel("step")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # A page holds several of these, and an id must be unique in it.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{re.sub('[^a-z0-9]', '-', panel.key)}-", svg)
    return svg.replace(INK, "currentColor").replace(COLOURS[0].lower(), "var(--curve)")


def _draw_panel(
    axis: Axes, panel: Panel, runs: Sequence[PlottedRun], *, height: float, sources: bool
) -> None:
    for number, one in enumerate(runs):
        points = points_of(one.summary, panel)
        steps, values = zip(*points) if points else ((), ())
        turn, place = divmod(number, len(COLOURS))
        # A line through one point would not be seen.
        marked = len(points) < _DENSE if panel.is_verification else len(points) == 1
        axis.plot(
            steps,
            values,
            color=COLOURS[place],
            linestyle=DASHES[turn % len(DASHES)],
            linewidth=1.2 if panel.is_verification else 0.8,
            marker=_MARKERS[place] if marked else None,
            markersize=3.5,
            label=one.label,
        )
        for rate in filter(lambda rate: rate.step, one.summary.learning_rates):
            colour = COLOURS[place] if len(runs) > 1 else INK
            axis.axvline(rate.step or 0, color=colour, linewidth=0.8, linestyle=":", zorder=1)
    axis.set_title(panel.title)
    axis.set_ylabel(panel.unit)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=8 if sources else 5, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(_steps))
    axis.margins(x=0.01)
    if panel.is_verification:
        _draw_published(axis, panel.key, runs, height=height, sources=sources)
    else:
        axis.set_ylim(bottom=0)


def _draw_published(
    axis: Axes, name: str, runs: Sequence[PlottedRun], *, height: float, sources: bool
) -> None:
    lines = published_on(name, runs)
    for value in lines:
        axis.axhline(value, color=INK, linewidth=0.8, linestyle="--", zorder=1)
    low, high = axis.get_ylim()
    # No accuracy is above 100 %; the rest is for the marker.
    high = min(high, 100 + _ABOVE * (100 - low))
    axis.set_ylim(low, high)
    values = list(lines)
    # About the height of the text in units of the axis, which takes 3/4 of the panel.
    small = _LABEL * mpl.rcParams["font.size"]
    gap = 1.25 * small / _POINTS_PER_INCH / (0.75 * height) * (high - low)
    for value, place in zip(values, spread(values, gap, high)):
        text = f"{value:.2f}" + (f" {' · '.join(lines[value])}" if sources else "")
        axis.annotate(
            text,
            xy=(1, value),
            xytext=(1.025, place),
            xycoords=axis.get_yaxis_transform(),
            textcoords=axis.get_yaxis_transform(),
            fontsize=small,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": INK,
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )


def _label_rates(axis: Axes, runs: Sequence[PlottedRun], *, width: float) -> None:
    """Label the learning rates above a diagram, at the steps where they begin."""
    rates = sorted(
        {
            (rate.step, f"{rate.value:.3g}")
            for one in runs
            for rate in one.summary.learning_rates
            if rate.step
        }
    )
    if not rates:
        return
    small = _LABEL * mpl.rcParams["font.size"]
    axis.set_title(axis.get_title(loc="left"), pad=2.5 * small)
    low, high = axis.get_xlim()
    # A label has about nine characters, each half as wide as it is high.
    gap = 9 * 0.55 * small / _POINTS_PER_INCH / width * (high - low)
    for (step, text), place in zip(rates, spread([step for step, _ in rates], gap, high)):
        axis.annotate(
            f"lr {text}",
            xy=(step, 1),
            xytext=(place, 1.04),
            xycoords=axis.get_xaxis_transform(),
            textcoords=axis.get_xaxis_transform(),
            fontsize=small,
            ha="center",
            annotation_clip=False,
        )


def spread(values: Sequence[float], gap: float, high: float) -> list[float]:
    """Return positions of labels near their values, at least `gap` apart.

    Args:
        values: the values, in ascending order.
        gap: distance between two labels.
        high: the highest position.
    """
    places: list[float] = []
    for value in values:
        places.append(max(value, places[-1] + gap) if places else value)
    limit = high
    for number in range(len(places) - 1, -1, -1):
        places[number] = min(places[number], limit)
        limit = places[number] - gap
    return places


def _steps(step: float, _position: object) -> str:
    thousand = 1000
    return f"{step / thousand:g}k" if step >= thousand else f"{step:g}"
