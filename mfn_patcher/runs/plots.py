"""Pictures of training: curves of one run or several, with published figures beside them."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfn_patcher.data.verification_set import NAMES
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.recipes import published
from mfn_patcher.remedies import install
from mfn_patcher.runs.summary import RunSummary

try:
    import matplotlib as mpl
    from matplotlib import font_manager
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError as error:
    raise MfnPatchError(
        f"pictures need matplotlib, which can't be imported: {error}",
        remedy=f"Install it with `{install('plot')}`.",
    ) from error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mfn_patcher.recipes.published import Published

# Okabe and Ito's colours, which the colour-blind can tell apart, without their yellow, which is
# too light for a line; then again, dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "os^Dv*"
DASHES = ("-", "--", ":")
_INK = "#333333"
_TITLES = {"lfw": "LFW", "cfp_fp": "CFP-FP", "agedb_30": "AgeDB-30"}
# Tried in this order for names that the first can't write.
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "SimHei")
_POINTS_PER_INCH = 72
_TEXT = 10  # points
_PAGE_TEXT = 11.5  # points, in a page, which a phone shows at about a pixel a point
_LABEL = 0.8  # of the text
_DENSE = 200  # verifications, whose markers would run into each other


class PlotError(MfnPatchError):
    """There is nothing to draw."""


@dataclass(frozen=True)
class Series:
    """A run to draw.

    Attributes:
        label: Its name in the picture.
        run: What its log tells.
    """

    label: str
    run: RunSummary


@dataclass(frozen=True)
class Panel:
    """One diagram over the steps.

    Attributes:
        key: ``accuracy``, ``speed`` or the name of a verification set.
        title: What it shows.
        unit: Of its vertical axis.
    """

    key: str
    title: str
    unit: str

    @property
    def is_verification(self) -> bool:
        """Whether it shows results on a verification set."""
        return self.key not in ("accuracy", "speed")


def panels(series: Sequence[Series]) -> list[Panel]:
    """Return the diagrams for which these runs have anything to show.

    Raises:
        PlotError: There is none.
    """
    sets = dict.fromkeys(entry.set for one in series for entry in one.run.verifications)
    ordered = [*(name for name in NAMES if name in sets), *(set(sets) - set(NAMES))]
    candidates = [
        Panel("accuracy", "Training accuracy", "%"),
        Panel("speed", "Speed, with the time of verification and saving", "images/s"),
        *(Panel(name, f"{title_of(name)}, accuracy with flip", "%") for name in ordered),
    ]
    found = [panel for panel in candidates if any(_points(one.run, panel) for one in series)]
    if not found:
        names = ", ".join(one.label for one in series)
        raise PlotError(
            f"{names}: no training line and no verification that could be drawn",
            remedy="The script prints its first training line after 21 steps.",
        )
    return found


def title_of(name: str) -> str:
    """Return how people write the name of a verification set."""
    return _TITLES.get(name, name)


def draw(series: Sequence[Series], path: Path) -> None:
    """Draw all diagrams of runs, one above the other, over the same steps.

    Args:
        series: The runs.
        path: To write, or to replace; its suffix says the format, ``.png`` or ``.svg``.

    Raises:
        PlotError: There is nothing to draw.
    """
    write(figure_of(series), path)


def write(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all.

    Args:
        figure: Drawn in the same `style`.
        path: To write, or to replace; its suffix says the format, ``.png`` or ``.svg``.
    """
    kind = path.suffix[1:]
    buffer = io.BytesIO()
    with mpl.rc_context(style()), warnings.catch_warnings():
        # Of a name in letters that no font here has; boxes say so, where they are seen.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(buffer.getvalue())
    partial.replace(path)


def figure_of(series: Sequence[Series]) -> Figure:
    """Return the picture that `draw` writes.

    Raises:
        PlotError: There is nothing to draw.
    """
    shown = panels(series)
    height = 2.2  # inches
    with mpl.rc_context(style()):
        figure = Figure(figsize=(10, height * len(shown) + 0.9), layout="constrained")
        axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for panel, axis in zip(shown, axes):
            _draw_panel(axis, panel, series, height=height, sources=True)
        _label_rates(axes[0], series, width=7)
        axes[-1].set_xlabel("step")
        figure.align_ylabels(axes)
        if len(series) > 1:
            handles = axes[-1].get_legend_handles_labels()
            figure.legend(*handles, loc="outside upper left", frameon=False)
        else:
            figure.suptitle(series[0].label, x=0.01, ha="left")
    return figure


def draw_panel(panel: Panel, series: Series) -> str:
    """Draw one diagram small, as an ``<svg>`` element to be put into a page.

    Its text is text, its background is clear, and its colours are the page's: text and axes
    ``currentColor``, the curve ``var(--curve)``.

    Args:
        panel: To draw.
        series: The run.
    """
    settings: Any = {**style(_PAGE_TEXT), "svg.fonttype": "none", "svg.hashsalt": panel.key}
    height = 2.8
    with mpl.rc_context(settings):
        figure = Figure(figsize=(4.6, height), layout="constrained")
        figure.patch.set_visible(False)
        axis = figure.subplots()
        axis.patch.set_visible(False)
        _draw_panel(axis, panel, [series], height=height, sources=False)
        if not panel.is_verification:  # there, the published figures need the corner
            _label_rates(axis, [series], width=3.6)
        axis.set_xlabel("step")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Several of these stand in one page, where an id may be used once only.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{re.sub('[^a-z0-9]', '-', panel.key)}-", svg)
    return svg.replace(_INK, "currentColor").replace(COLOURS[0].lower(), "var(--curve)")


def style(size: float = _TEXT) -> Any:
    """Return matplotlib's settings for all pictures (a dictionary; its type is matplotlib's).

    Args:
        size: Of the text, in points.
    """
    installed = set(font_manager.get_font_names())
    return {
        "font.family": [name for name in _FONTS if name in installed],
        "font.size": size,
        "text.parse_math": False,
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "axes.titlelocation": "left",
        "axes.titlesize": size,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.grid": True,
        "grid.color": _INK,
        "grid.alpha": 0.15,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "svg.hashsalt": "mfn-patch",
    }


def _draw_panel(
    axis: Axes, panel: Panel, series: Sequence[Series], *, height: float, sources: bool
) -> None:
    for number, one in enumerate(series):
        points = _points(one.run, panel)
        steps, values = zip(*points) if points else ((), ())
        turn, place = divmod(number, len(COLOURS))
        axis.plot(
            steps,
            values,
            color=COLOURS[place],
            linestyle=DASHES[turn % len(DASHES)],
            linewidth=1.2 if panel.is_verification else 0.8,
            marker=_MARKERS[place] if panel.is_verification and len(points) < _DENSE else None,
            markersize=3.5,
            label=one.label,
        )
        for rate in filter(lambda rate: rate.step, one.run.learning_rates):
            colour = COLOURS[place] if len(series) > 1 else _INK
            axis.axvline(rate.step or 0, color=colour, linewidth=0.8, linestyle=":", zorder=1)
    axis.set_title(panel.title)
    axis.set_ylabel(panel.unit)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=8 if sources else 5, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(_steps))
    axis.margins(x=0.01)
    if panel.is_verification:
        _draw_published(axis, panel.key, series, height=height, sources=sources)
    else:
        axis.set_ylim(bottom=0)


def _points(run: RunSummary, panel: Panel) -> list[tuple[int, float]]:
    """Return steps and values of a run; what is no number, or of no known step, is left out."""
    pairs: list[tuple[int | None, float | None]]
    if panel.key == "accuracy":
        pairs = [
            (p.step, None if p.accuracy is None else 100 * p.accuracy) for p in run.curve.points
        ]
    elif panel.key == "speed":
        pairs = [(p.step, p.samples_per_second) for p in run.curve.points]
    else:
        pairs = [(v.step, 100 * v.accuracy) for v in run.verifications if v.set == panel.key]
    return [
        (step, value)
        for step, value in pairs
        if step is not None and value is not None and math.isfinite(value)
    ]


def published_for(series: Sequence[Series]) -> list[Published]:
    """Return the published accuracies that these runs compare with: those of their losses."""
    types = {one.run.arguments.get("loss_type") for one in series}
    return [entry for entry in published.load() if None in types or entry.loss_type in types]


def _draw_published(
    axis: Axes, name: str, series: Sequence[Series], *, height: float, sources: bool
) -> None:
    lines: dict[float, list[str]] = {}
    for entry in published_for(series):
        if name in entry.accuracies:
            lines.setdefault(entry.accuracies[name], []).append(entry.label)
    for value in lines:
        axis.axhline(value, color=_INK, linewidth=0.8, linestyle="--", zorder=1)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high)
    values = sorted(lines)
    # About as high as the text is, in the axis' unit; the axes take three quarters of the panel.
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
                "color": _INK,
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )


def _label_rates(axis: Axes, series: Sequence[Series], *, width: float) -> None:
    """Write the learning rates above a diagram, at the steps where they begin."""
    rates = sorted(
        {
            (rate.step, f"{rate.value:.3g}")
            for one in series
            for rate in one.run.learning_rates
            if rate.step
        }
    )
    if not rates:
        return
    small = _LABEL * mpl.rcParams["font.size"]
    axis.set_title(axis.get_title(loc="left"), pad=2.5 * small)
    low, high = axis.get_xlim()
    # A label has about nine characters, each half as wide as high.
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
    """Return places for labels near their values, `gap` apart, the last not above `high`.

    Args:
        values: In rising order.
        gap: Between two labels.
        high: The highest place.
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


def series_of(label: str, runs: Sequence[RunSummary]) -> Iterator[Series]:
    """Yield the runs of one log, numbered if there are several."""
    for run in runs:
        yield Series(f"{label} ({run.number})" if len(runs) > 1 else label, run)
