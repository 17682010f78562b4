"""The runs of a workspace, read back: finding one, its state, and what differs between two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mfn_patcher.arguments import as_mapping
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.runs import output, record
from mfn_patcher.runs.log import read_events
from mfn_patcher.runs.summary import LogError, RunSummary, finite, summarise

LAST = "last"


class RunError(MfnPatchError):
    """A run is not there, its name fits several, or its record can't be read."""


@dataclass(frozen=True)
class Run:
    """A run's folder, with its record.

    Attributes:
        folder: Of the run.
        record: What ``run.json`` holds; empty if it can't be read.
        damage: Why it can't be read; empty if it can.
    """

    folder: Path
    record: Mapping[str, Any]
    damage: str = ""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """The file of the script's output."""
        return self.folder / record.LOG

    @cached_property
    def state(self) -> str:
        """Its outcome; ``killed`` if it has none and nobody writes its log any more.

        Without a record it is ``running`` or ``unknown``.
        """
        outcome = str(self.record.get("outcome", "unknown"))
        if outcome in ("running", "unknown") and output.is_written(self.log):
            return "running"
        return "killed" if outcome == "running" else outcome

    @cached_property
    def summary(self) -> RunSummary | None:
        """What its log tells; None if that is nothing, for the script has not come that far."""
        try:
            with self.log.open("rb") as file:
                return summarise(read_events(file), str(self.log), curves=True)[-1]
        except (LogError, OSError):
            return None


def every(folder: Path) -> list[Run]:
    """Return all runs in the folder of runs, newest first; also those whose record is damaged."""
    return [read(path) for path in record.folders(folder)]


def read(folder: Path) -> Run:
    """Return the run in a folder, as far as it can be read."""
    try:
        return Run(folder, record.read(folder))
    except record.RecordError as error:
        return Run(folder, {}, str(error))


def find(folder: Path, name: str) -> Run:
    """Return the run that a name stands for.

    Args:
        folder: Of all runs.
        name: ``last``; the name of a run's folder, or a part of it that no other has, where the
            beginning goes before the middle; or the path of a run's folder.

    Raises:
        RunError: There is none, or there are several.
    """
    path = Path(name)
    if any((path / file).is_file() for file in (record.FILE, record.LOG)):
        return read(path.resolve())
    runs = every(folder)
    if not runs:
        raise RunError(
            f"there are no runs in {folder}",
            remedy="`mfn-patch train` makes one; --workspace names another workspace.",
        )
    if name == LAST:
        return runs[0]
    for fits in (str.__eq__, str.startswith, str.__contains__):
        found = [run for run in runs if fits(run.name, name)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(run.name for run in found)
            raise RunError(f"{name!r} could be any of {names}", remedy="Give more of the name.")
    raise RunError(
        f"there is no run {name!r} in {folder}", remedy="`mfn-patch runs list` shows all."
    )


# -- comparing ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One thing about two runs.

    Attributes:
        group: What it is about, such as ``arguments``.
        name: Of the thing.
        a: Of the first run; None if it has none.
        b: Of the second.
    """

    group: str
    name: str
    a: Any
    b: Any

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return bool(self.a != self.b)


def compare(a: Run, b: Run) -> list[Row]:
    """Set two runs side by side: what they were made of, and what came of them."""
    rows = []
    for group, (of_a, of_b) in {
        "run": (_run(a), _run(b)),
        "arguments": _arguments(a, b),
        "environment": _tables(a, b, "environment"),
        "versions": _tables(a, b, "versions"),
        "code": (_code(a), _code(b)),
        "data set": (_data_set(a), _data_set(b)),
        "results": (_results(a), _results(b)),
    }.items():
        for name in dict.fromkeys((*of_a, *of_b)):
            rows.append(Row(group, name, of_a.get(name), of_b.get(name)))
    return rows


def _run(run: Run) -> dict[str, Any]:
    keys = ("recipe", "stage", "name", "batch_size", "steps", "start", "seconds")
    engine = run.record.get("engine") or {}
    return {
        "state": run.state,
        **{key: run.record.get(key) for key in keys if key in run.record},
        "engine": engine.get("name"),
    }


def _arguments(a: Run, b: Run) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return all arguments as the script printed them, or else those of the command."""
    if a.summary and b.summary and a.summary.arguments and b.summary.arguments:
        return a.summary.arguments, b.summary.arguments
    return _given(a), _given(b)


def _given(run: Run) -> dict[str, str]:
    given = as_mapping([str(token) for token in run.record.get("command", ())])
    return {name.removeprefix("--").replace("-", "_"): value for name, value in given.items()}


def _tables(a: Run, b: Run, key: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return a.record.get(key, {}), b.record.get(key, {})


def _code(run: Run) -> dict[str, Any]:
    patches = {patch["patch"]: patch["digest"] for patch in run.record.get("patches", ())}
    keys = ("pin", "chain_commit", "edited")
    return {**{key: run.record.get(key) for key in keys}, **patches}


def _data_set(run: Run) -> dict[str, Any]:
    found = run.record.get("data_set") or {"sha256": None, "files": {}}
    files = {name: file["sha256"] for name, file in found["files"].items()}
    return {"fingerprint": found["sha256"], **files}


def _results(run: Run) -> dict[str, Any]:
    results: dict[str, Any] = {"last_checkpoint": run.record.get("last_checkpoint")}
    if run.summary is None:
        return results
    results["last_step"] = run.summary.last_step
    results["images_per_second"] = run.summary.curve.median_speed
    results["training_accuracy"] = run.summary.curve.accuracy
    for name, best in run.summary.best().items():
        results[f"{name}: best accuracy"] = best.accuracy
        results[f"{name}: std"] = finite(best.std)
        results[f"{name}: xnorm"] = finite(best.xnorm)
        results[f"{name}: at step"] = best.step
        results[f"{name}: checkpoint"] = run.summary.checkpoint_at(best.step)
    return results
