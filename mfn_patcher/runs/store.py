"""The runs of a workspace: finding one, its state, and the summary of its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.runs import output, record
from mfn_patcher.runs.log import read_events
from mfn_patcher.runs.summary import LogError, RunSummary, summarise
from mfn_patcher.suggestion import did_you_mean

LAST = "last"


class RunError(MfnPatchError):
    """A run does not exist, its name is ambiguous, or its record cannot be read."""


@dataclass(frozen=True)
class Run:
    """A run: its folder and its record.

    Attributes:
        folder: the folder.
        record: content of ``run.json``; empty if it cannot be read.
        damage: why it cannot be read; empty if it can.
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
        """The file with the script's output."""
        return self.folder / record.LOG

    @cached_property
    def state(self) -> str:
        """Its outcome; ``killed`` if it has none and its log is no longer written.

        Without a record, the state is ``running`` or ``unknown``.
        """
        outcome = str(self.record.get("outcome", "unknown"))
        if outcome in ("running", "unknown") and output.is_written(self.log):
            return "running"
        return "killed" if outcome == "running" else outcome

    @cached_property
    def summary(self) -> RunSummary | None:
        """The summary of its log; None if the script has not reached training."""
        try:
            with self.log.open("rb") as file:
                return summarise(read_events(file), str(self.log), curves=True)[-1]
        except (LogError, OSError):
            return None


def every(workspace: Path) -> list[Run]:
    """Return all runs of a workspace, newest first, including those whose record is damaged."""
    return [read(path) for path in record.folders(_folder(workspace))]


def _folder(workspace: Path) -> Path:
    return workspace.resolve() / "runs"


def read(folder: Path) -> Run:
    """Return the run in a folder, as far as it can be read."""
    try:
        return Run(folder, record.read(folder))
    except record.RecordError as error:
        return Run(folder, {}, str(error))


def find_log(workspace: Path, name: str) -> tuple[str, Path]:
    """Return the label and the path of a log that the user names.

    Args:
        workspace: the workspace of the runs.
        name: path of the log, or name of a run, as `find` takes it.

    Raises:
        RunError: there is neither such a file nor such a run.
    """
    if Path(name).is_file():
        return Path(name).stem, Path(name)
    try:
        run = find(workspace, name)
    except RunError as error:
        raise RunError(f"there is no file {name!r}, and {error}", remedy=error.remedy) from error
    if not run.log.is_file():
        raise RunError(f"run {run.name} has no log: {run.log} does not exist")
    return run.name, run.log


def find(workspace: Path, name: str) -> Run:
    """Return the run with a name.

    Args:
        workspace: the workspace of the runs.
        name: ``last``; the name of a run's folder, or a unique part of it, its beginning taking
            precedence; or the path of a run's folder.

    Raises:
        RunError: there is no such run, or several.
    """
    if not name:
        raise RunError("the name of the run is empty", remedy="`last` is the newest run.")
    path = Path(name)
    if any((path / file).is_file() for file in (record.FILE, record.LOG)):
        return read(path.resolve())
    runs = every(workspace)
    if not runs:
        raise RunError(
            f"there are no runs in {_folder(workspace)}",
            remedy="Start one with `mfn-patch train`, or name another workspace with --workspace.",
        )
    if name == LAST:
        return runs[0]
    for fits in (str.__eq__, str.startswith, str.__contains__):
        found = [run for run in runs if fits(run.name, name)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(run.name for run in found)
            raise RunError(f"{name!r} is ambiguous: {names}", remedy="Give more of the name.")
    # The time that a name starts with is rarely typed.
    known = [part for run in runs for part in (run.name, run.name.partition("-")[2])]
    raise RunError(
        f"there is no run {name!r} in {_folder(workspace)}",
        remedy=f"{did_you_mean(name, known)} `mfn-patch runs list` lists all runs.".lstrip(),
    )
