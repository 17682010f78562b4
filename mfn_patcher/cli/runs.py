"""``mfn-patch runs``: the runs of a workspace."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Group
from mfn_patcher.cli.log import print_run
from mfn_patcher.cli.options import json_option, print_table, workspace_option
from mfn_patcher.cli.terminal import echo, print_json, style

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mfn_patcher.runs.store import Run

_LOG = logging.getLogger(__name__)

_COLOURS = {"completed": "green", "running": "cyan", "interrupted": "yellow"}
_COLUMNS = ("run", "state", "steps", "checkpoint", "took", "best accuracy")
_DIGITS = 12


@click.group(cls=Group)
def runs() -> None:
    """List the runs of a workspace, show one, or compare two.

    RUN is the name of a run's folder, a unique part of it, `last`, or the path of the folder.
    """


@runs.command("list", examples=("mfn-patch runs list",))
@workspace_option
@json_option
def list_runs(workspace: Path, as_json: bool) -> None:
    """List all runs, newest first.

    The state `killed` means that the run died along with mfn-patch, for example in a power cut.
    """
    from mfn_patcher.runs.store import every

    found = every(workspace)
    if as_json:
        print_json({"workspace": str(workspace.resolve()), "runs": [_entry(run) for run in found]})
        return
    if not found:
        echo(f"There are no runs in {workspace.resolve()}.")
        return
    print_table(_COLUMNS, (_row(run) for run in found), right="  xxx")
    for run in found:
        if run.damage:
            _LOG.warning("%s; the results are read from the log", run.damage)


@runs.command(
    examples=(
        "mfn-patch runs show last",
        "mfn-patch runs show stage3",
    )
)
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@workspace_option
@json_option
def show(run_name: str, workspace: Path, as_json: bool) -> None:
    """Show the settings and the results of a run."""
    from mfn_patcher.runs.record import current_prefix
    from mfn_patcher.runs.store import find
    from mfn_patcher.runs.summary_json import as_json as summary_as_json

    run = find(workspace, run_name)
    if as_json:
        summary = summary_as_json([run.summary], str(run.log)) if run.summary else None
        print_json(
            {
                "run": run.name,
                "folder": str(run.folder),
                "state": run.state,
                "record": None if run.damage else run.record,
                "record_error": run.damage or None,
                "prefix": None if run.damage else str(current_prefix(run.folder, run.record)),
                "log": summary,
            }
        )
        return
    for name, text in _facts(run):
        echo(f"{name:<14} {text}")
    if run.summary:
        print_run(run.summary)
    else:
        echo(f"{run.log} contains nothing about training.")


@runs.command(examples=("mfn-patch runs compare 20260101T0000 last",))
@click.argument("first", metavar="RUN", shell_complete=completion.runs)
@click.argument("second", metavar="RUN", shell_complete=completion.runs)
@workspace_option
@json_option
def compare(first: str, second: str, workspace: Path, as_json: bool) -> None:
    """Compare two runs: first what differs, then what is equal.

    Compares arguments, environment, versions, patches, data set and results.
    """
    from mfn_patcher.runs.compare import compare as compare_runs
    from mfn_patcher.runs.store import find

    a, b = (find(workspace, name) for name in (first, second))
    rows = compare_runs(a, b)
    if as_json:
        as_rows = [{**vars(row), "differs": row.differs} for row in rows]
        print_json({"a": a.name, "b": b.name, "rows": as_rows})
        return
    different = [(row.group, row.name, _short(row.a), _short(row.b)) for row in rows if row.differs]
    equal = [(row.group, row.name, _short(row.a)) for row in rows if not row.differs]
    if different:
        print_table(("different", "", a.name, b.name), _once(different))
    if different and equal:
        echo()
    if equal:
        print_table(("equal", "", ""), _once(equal))


def _once(rows: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Yield rows with the group only in the first of each."""
    group = ""
    for row in rows:
        yield row if row[0] != group else ("", *row[1:])
        group = row[0]


def _entry(run: Run) -> dict[str, Any]:
    from mfn_patcher.runs.summary_json import finite

    summary = run.summary
    best = summary.best() if summary else {}
    keys = ("stage", "name", "started", "ended", "seconds", "batch_size", "steps")
    return {
        "run": run.name,
        "folder": str(run.folder),
        "state": run.state,
        "record_error": run.damage or None,
        **{key: run.record.get(key) for key in keys},
        "last_step": summary.last_step if summary else None,
        "last_checkpoint": run.record.get("last_checkpoint"),
        "chain_commit": run.record.get("chain_commit"),
        "best": {
            name: {
                "accuracy": entry.accuracy,
                "std": finite(entry.std),
                "step": entry.step,
                "checkpoint": summary.checkpoint_at(entry.step) if summary else None,
            }
            for name, entry in best.items()
        },
    }


def _row(run: Run) -> tuple[str, ...]:
    from mfn_patcher.runs.summary import percent, steps_done

    summary = run.summary
    last = summary.last_step if summary else None
    done = f"{steps_done(last, run.record.get('steps')):,}" if last else "-"
    total = "?" if run.damage else f"{run.record['steps']:,}" if run.record.get("steps") else "∞"
    best = summary.best() if summary else {}
    saved = run.record.get("last_checkpoint")
    if saved is None and summary and summary.checkpoints:
        saved = summary.checkpoints[-1].number
    return (
        run.name,
        style(run.state, fg=_COLOURS.get(run.state, "red")),
        f"{done} / {total}",
        "-" if saved is None else str(saved),
        _duration(run.record.get("seconds")),
        "  ".join(f"{name} {percent(entry.accuracy)} %" for name, entry in best.items()),
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    from mfn_patcher.runs.record import current_prefix

    record = run.record
    yield "run", run.name
    yield "folder", str(run.folder)
    yield "state", style(run.state, fg=_COLOURS.get(run.state, "red"))
    if run.damage:
        yield "record", run.damage
        return
    yield "time", f"{record.get('started')} to {record.get('ended') or '-'}"
    yield "exit", f"status {record.get('exit_status')}, signal {record.get('signal') or 'none'}"
    yield "command", str(record.get("shell_line"))
    for name, value in record.get("environment", {}).items():
        yield "environment", f"{name}={value}"
    if record.get("engine"):
        yield "engine", "{name} ({build}): {reason}".format(**record["engine"])
    if record.get("precision"):
        yield "precision", record["precision"]
    yield "versions", ", ".join(f"{name} {v}" for name, v in record.get("versions", {}).items())
    yield "chain", str(record.get("chain_commit") or "unknown")
    for patch in record.get("patches", ()):
        yield "patch", f"{patch['digest'][:_DIGITS]} {patch['patch']}"
    if record.get("edited"):
        yield "your edits", str(run.folder / "edits.patch")
    prefix = current_prefix(run.folder, record)
    if str(prefix) != record["prefix"]:
        yield "checkpoints", f"moved to {prefix.parent} by a later run"
    yield "data set", str(record.get("data_dir"))
    if record.get("data_set"):
        yield "fingerprint", record["data_set"]["sha256"]


def _short(value: object) -> str:
    """Return a value for people, with hashes shortened to their first digits."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text[:_DIGITS] if _is_hash(text) else text


def _is_hash(text: str) -> bool:
    return len(text) in (40, 64) and all(digit in "0123456789abcdef" for digit in text)
