"""A page about one run: results beside the published ones, curves, and what it was made of.

All of it is in one file, which asks nobody for anything and runs nothing.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.recipes import published
from mfn_patcher.recipes.published import Published
from mfn_patcher.remedies import install
from mfn_patcher.runs import plots, record
from mfn_patcher.runs.log import Verification
from mfn_patcher.runs.plots import PlotError, Series
from mfn_patcher.runs.store import Run
from mfn_patcher.runs.summary import percent, steps_done

try:
    import jinja2
    from markupsafe import Markup
except ImportError as error:
    raise MfnPatchError(
        f"a report needs jinja2, which can't be imported: {error}",
        remedy=f"Install it with `{install('plot')}`.",
    ) from error

_MOST_EDITS = 200_000  # characters of a diff that a page can show


@dataclass(frozen=True)
class Cell:
    """A result in the table.

    Attributes:
        value: In percent.
        where: At which checkpoint or step.
    """

    value: str
    where: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the table of results.

    Attributes:
        name: Whose results.
        cells: One for each set.
        own: Whether they are of the run.
    """

    name: str
    cells: tuple[Cell, ...]
    own: bool


def render(run: Run) -> str:
    """Return the page about a run, as HTML."""
    template = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.ChainableUndefined,  # records of older versions have fewer fields
        trim_blocks=True,
        lstrip_blocks=True,
    ).from_string(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    told = run.summary
    sets = list(told.best()) if told else []
    series = Series(run.name, told) if told else None
    others = plots.published_for([series]) if series else []
    others = [other for other in others if any(name in other.accuracies for name in sets)]
    return template.render(
        run=run,
        record=run.record,
        told=told,
        title=_title(run),
        started=_time(run.record.get("started")),
        ended=_time(run.record.get("ended")),
        steps=_steps(run),
        speed=_speed(run),
        warnings=list(_warnings(run)),
        sets=[plots.title_of(name) for name in sets],
        results=list(_results(run, sets, others)),
        others=others,
        curves=list(_curves(series)) if series else [],
        edits=_edits(run),
        version=importlib.metadata.version("mfn-patcher"),
    )


def _title(run: Run) -> str:
    if run.damage:
        return run.name
    return f"Stage {run.record.get('stage')} ({run.record.get('name')})"


def _time(stamp: str | None) -> str:
    if stamp is None:
        return "\N{EN DASH}"
    try:
        return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M:%S %Z}"
    except ValueError:
        return stamp


def _steps(run: Run) -> str:
    total = run.record.get("steps")
    last = run.summary.last_step if run.summary else None
    told = f"{steps_done(last, total):,}" if last else "none told"
    if run.damage:
        return told
    batch = f"{run.record.get('batch_size')} images each"
    return f"{told} of {total:,}; {batch}" if total else f"{told}; {batch}"


def _speed(run: Run) -> str | None:
    if run.summary is None or run.summary.curve.median_speed is None:
        return None
    return f"{run.summary.curve.median_speed:,.1f} images/s"


def _warnings(run: Run) -> Iterator[str]:
    told = run.summary
    if run.damage:
        yield f"{run.damage}. Its results are read from its log."
    if told is None:
        yield "Its log tells nothing of the training."
        return
    for entry in told.not_finite.values():
        of = f" of {entry.set}" if entry.set else ""
        at = "" if entry.step is None else f" at step {entry.step:,}"
        yield f"{entry.what}{of} was {entry.value}{at}."
    if told.error:
        yield f"The script ended with {told.error}"
    identities = told.arguments.get("num_classes")
    if identities not in (None, published.IDENTITIES):
        yield (
            f"It was trained on {identities} identities, the published results on "
            f"{published.IDENTITIES:,}: they do not compare."
        )
    if run.record.get("edited"):
        yield "The patched code had been edited; the edits are shown below the patches."


def _results(run: Run, sets: Sequence[str], others: Sequence[Published]) -> Iterator[Row]:
    if run.summary is None:
        return
    best = run.summary.best()
    last = {entry.set: entry for entry in run.summary.verifications}
    yield Row("This run, best", tuple(_percent(best[name], run) for name in sets), own=True)
    yield Row("This run, last", tuple(_percent(last[name], run) for name in sets), own=True)
    for other in others:
        values = (other.accuracies.get(name) for name in sets)
        cells = tuple(Cell("\N{EN DASH}" if v is None else f"{v:.2f}") for v in values)
        yield Row(other.label, cells, own=False)


def _percent(entry: Verification, run: Run) -> Cell:
    number = run.summary.checkpoint_at(entry.step) if run.summary else None
    where = f"step {entry.step:,}" if number is None else f"checkpoint {number}"
    return Cell(f"{percent(entry.accuracy)} ± {percent(entry.std)}", where)


def _curves(series: Series) -> Iterator[tuple[plots.Panel, Markup]]:
    try:
        panels = plots.panels([series])
    except PlotError:
        return
    for panel in panels:
        # The only markup that is not escaped: matplotlib made it, and escaped what it was given.
        yield panel, Markup(plots.draw_panel(panel, series))  # noqa: S704


def _edits(run: Run) -> str:
    if not run.record.get("edited"):
        return ""
    try:
        text = (run.folder / record.EDITS).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        return f"{record.EDITS} can't be read: {error.strerror}"
    return text if len(text) <= _MOST_EDITS else f"{text[:_MOST_EDITS]}\n… cut here"
