"""An HTML page about one run: its results next to published ones, its curves and its settings.

The page is self-contained: it loads nothing and runs no scripts.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mfn_patcher import __version__
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.printable import counted
from mfn_patcher.recipes import published
from mfn_patcher.recipes.published import Published
from mfn_patcher.remedies import install
from mfn_patcher.runs import plots, rates, record
from mfn_patcher.runs.events import Verification
from mfn_patcher.runs.panels import (
    Panel,
    PlotError,
    PlottedRun,
    in_order,
    panels,
    published_for,
    published_on,
    title_of,
)
from mfn_patcher.runs.rates import Rate
from mfn_patcher.runs.store import Run
from mfn_patcher.runs.summary import percent, steps_done
from mfn_patcher.trainer.mfn_trainer.ranking import best_of

try:
    import jinja2
    from markupsafe import Markup
except ImportError as error:
    raise MfnPatchError(
        f"reports require jinja2, which cannot be imported: {error}",
        remedy=f"Install it with `{install('plot')}`.",
    ) from error

_MOST_EDITS = 200_000  # characters of a diff that are shown


@dataclass(frozen=True)
class ResultCell:
    """A result in the table of results.

    Attributes:
        value: accuracy or true accept rate in percent.
        where: the checkpoint or step that it belongs to, or the number of pairs behind it.
    """

    value: str
    where: str = ""


@dataclass(frozen=True)
class ResultRow:
    """A row of the table of results.

    Attributes:
        name: whose results they are.
        cells: a cell for each verification set.
        own: whether they are results of the run.
    """

    name: str
    cells: tuple[ResultCell, ...]
    own: bool


@dataclass(frozen=True)
class RateTable:
    """The true accept rates of a run.

    Attributes:
        target: the false accept rate that the thresholds are chosen for.
        sets: names of the verification sets, as publications write them.
        rows: a row for the best checkpoint and for the last one.
        folders: where the verification sets are; empty if that is the data set of the run.
    """

    target: float
    sets: tuple[str, ...]
    rows: tuple[ResultRow, ...]
    folders: tuple[str, ...]


def render(run: Run) -> str:
    """Return the page about a run, as HTML."""
    template = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.ChainableUndefined,  # records of older versions have fewer fields
        trim_blocks=True,
        lstrip_blocks=True,
    ).from_string(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    summary = run.summary
    sets = list(summary.best()) if summary else []
    plotted = PlottedRun(run.name, summary) if summary else None
    others = published_for([plotted]) if plotted else []
    others = [other for other in others if any(name in other.accuracies for name in sets)]
    return template.render(
        run=run,
        record=run.record,
        summary=summary,
        title=_title(run),
        started=_time(run.record.get("started")),
        ended=_time(run.record.get("ended")),
        steps=_steps(run),
        speed=_speed(run),
        warnings=list(_warnings(run, compared=bool(others))),
        sets=[title_of(name) for name in sets],
        results=list(_results(run, sets, others)),
        others=others,
        rates=_rates(run),
        checkpoint=_last_checkpoint(run),
        curves=list(_curves(plotted)) if plotted else [],
        edits=_edits(run),
        version=__version__,
    )


def _last_checkpoint(run: Run) -> str | None:
    """Return the last checkpoint of a run, as a shell takes it."""
    number = run.record.get("last_checkpoint")
    if number is None:
        return None
    return shlex.quote(f"{record.current_prefix(run.folder, run.record)},{number}")


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
    done = f"{steps_done(last, total):,}" if last else "none logged"
    if run.damage:
        return done
    batch = f"{run.record.get('batch_size')} images per step"
    return f"{done} of {total:,}; {batch}" if total else f"{done}; {batch}"


def _speed(run: Run) -> str | None:
    if run.summary is None or run.summary.curve.median_speed is None:
        return None
    return f"{run.summary.curve.median_speed:,.1f} images/s"


def _warnings(run: Run, *, compared: bool) -> Iterator[str]:
    summary = run.summary
    if run.damage:
        yield f"{run.damage}. The results are read from the log."
    if summary is None:
        yield "The log contains nothing about training."
        return
    for entry in summary.not_finite.values():
        of = f" of {entry.set}" if entry.set else ""
        at = "" if entry.step is None else f" at step {entry.step:,}"
        yield f"{entry.what}{of} was {entry.value}{at}."
    if summary.error:
        yield f"The script ended with {summary.error}"
    identities = summary.arguments.get("num_classes")
    if compared and identities not in (None, published.IDENTITIES):
        yield (
            f"This run was trained on {identities} identities, the published results on "
            f"{published.IDENTITIES:,}, so they are not comparable."
        )
    if run.record.get("edited"):
        yield "The patched code had been edited; the edits are shown below the patches."


def _results(run: Run, sets: Sequence[str], others: Sequence[Published]) -> Iterator[ResultRow]:
    if run.summary is None:
        return
    best = run.summary.best()
    last = {entry.set: entry for entry in run.summary.verifications}
    yield ResultRow("This run, best", tuple(_percent(best[name], run) for name in sets), own=True)
    yield ResultRow("This run, last", tuple(_percent(last[name], run) for name in sets), own=True)
    for other in others:
        values = (other.accuracies.get(name) for name in sets)
        cells = tuple(ResultCell("\N{EN DASH}" if v is None else f"{v:.2f}") for v in values)
        yield ResultRow(other.label, cells, own=False)


def _rates(run: Run) -> RateTable | None:
    found = rates.read(run.folder)
    if not found:
        return None
    sets = in_order(rate.set for rate in found)
    by_number: dict[int, dict[str, Rate]] = {}
    for rate in found:
        by_number.setdefault(rate.checkpoint, {})[rate.set] = rate
    means = {
        number: statistics.fmean(rate.accuracy for rate in each.values())
        for number, each in by_number.items()
        if len(each) == len(sets)
    }
    best, last = best_of(means), max(by_number)
    shown = {number: by_number[number] for number in (best, last) if number is not None}
    rows = (
        ResultRow(
            f"Checkpoint {number}" + (", best" if number == best and len(by_number) > 1 else ""),
            tuple(_rate(each.get(name)) for name in sets),
            own=True,
        )
        for number, each in shown.items()
    )
    folders = dict.fromkeys(rate.data_dir for each in shown.values() for rate in each.values())
    if [*folders] == [run.record.get("data_dir")]:
        folders.clear()
    return RateTable(found[-1].target, tuple(map(title_of, sets)), tuple(rows), tuple(folders))


def _rate(rate: Rate | None) -> ResultCell:
    if rate is None:
        return ResultCell("\N{EN DASH}")
    value = f"{100 * rate.tar:.2f} ± {100 * rate.std:.2f}"
    pairs = counted(rate.different, "pair", "pairs")
    return ResultCell(value, f"FAR {100 * rate.far:.2f}, {pairs}")


def _percent(entry: Verification, run: Run) -> ResultCell:
    number = run.summary.checkpoint_at(entry.step) if run.summary else None
    where = f"step {entry.step:,}" if number is None else f"checkpoint {number}"
    return ResultCell(f"{percent(entry.accuracy)} ± {percent(entry.std)}", where)


def _curves(run: PlottedRun) -> Iterator[tuple[Panel, Markup, str]]:
    """Yield each diagram, its picture, and the names of the lines in it."""
    try:
        shown = panels([run])
    except PlotError:
        return
    for panel in shown:
        # The only markup that is not escaped: matplotlib made it, and escaped its input.
        picture = Markup(plots.draw_panel(panel, run))  # noqa: S704
        lines = published_on(panel.key, [run]) if panel.is_verification else {}
        yield panel, picture, ", ".join(f"{v:.2f} {' and '.join(n)}" for v, n in lines.items())


def _edits(run: Run) -> str:
    if not run.record.get("edited"):
        return ""
    try:
        text = (run.folder / record.EDITS).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        return f"cannot read {record.EDITS}: {error.strerror}"
    return text if len(text) <= _MOST_EDITS else f"{text[:_MOST_EDITS]}\n… truncated"
