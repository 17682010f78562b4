"""The record of a run: ``run.json`` in the run's folder, beside the log and the event files.

``docs/schema/run.json`` describes its fields.
"""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mfn_patcher import files
from mfn_patcher.checkpoints.folder import STAMP, make_folder, saved_at
from mfn_patcher.data.fingerprint import Fingerprint
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.recipes.model import Stage
from mfn_patcher.runs.code import AppliedPatch
from mfn_patcher.typed_json import FileName, decode

LOG = "output.log"
EDITS = "edits.patch"
FILE = "run.json"
# Fields without which a record is useless; records of older versions lack others.
_NEEDED = (
    "recipe",
    "stage",
    "name",
    "command",
    "batch_size",
    "prefix",
    "data_dir",
    "started",
    "outcome",
)


class RecordError(MfnPatchError):
    """A ``run.json`` is missing or damaged."""


@dataclass(frozen=True)
class RunRecord:
    """The settings and the outcome of a run.

    Attributes:
        recipe: name of the recipe.
        stage: number of the stage.
        name: name of the stage.
        command: program and arguments.
        shell_line: the command for a shell.
        folder: working directory.
        environment: the variables that differ from the user's environment.
        batch_size: images per step, over all devices.
        steps: number of steps; None without a limit.
        checkpoint_every: steps between checkpoints.
        prefix: path prefix of the checkpoints; absolute.
        data_dir: folder of the data set; absolute.
        start: prefix and number of the checkpoint that it started from, such as ``model,20``.
        versions: versions of the tool, Python and packages.
        engine: ``name``, ``build`` and ``reason`` of the engine.
        pin: the commit of upstream that the chain of patches starts from.
        chain_commit: the end of the chain, which identifies the code that was trained.
        patches: the patches of the chain.
        edited: whether the user had edited that code; the edits are in ``edits.patch``.
        trainer_sha256: SHA-256 of the package that the script calls, `mfn_patcher.trainer.digest`.
        data_set: fingerprint of the data set.
        seed: random seed; None if unseeded.
        precision: precision of the network: ``fp32``, ``tf32`` or ``bf16``.
        resumed_from: name of the run that it resumes; None if it started from the beginning.
        resumed_checkpoint: number of the checkpoint that it resumes from; None if that run had
            saved none.
        archive: folder into which existing checkpoints were moved.
        started: start time, in UTC.
        ended: end time, in UTC.
        seconds: duration.
        exit_status: exit status of the script; -N if signal N ended it.
        signal: name of the signal that the tool received.
        outcome: ``running``, ``completed``, ``failed`` or ``interrupted``.
        last_checkpoint: number of the last checkpoint that was saved.
    """

    recipe: str
    stage: int
    name: str
    command: tuple[FileName, ...]
    shell_line: FileName
    folder: FileName
    environment: Mapping[str, FileName]
    batch_size: int
    steps: int | None
    checkpoint_every: int
    prefix: FileName
    data_dir: FileName
    start: FileName | None
    versions: Mapping[str, str]
    engine: Mapping[str, str]
    pin: str | None
    chain_commit: str | None
    patches: tuple[AppliedPatch, ...]
    edited: bool
    trainer_sha256: str | None
    data_set: Fingerprint
    seed: int | None
    precision: str
    resumed_from: str | None
    resumed_checkpoint: int | None
    archive: FileName | None
    started: str
    ended: str | None = None
    seconds: float | None = None
    exit_status: int | None = None
    signal: str | None = None
    outcome: str = "running"
    last_checkpoint: int | None = None


def new_folder(runs: Path, stage: Stage) -> Path:
    """Make the folder of a new run.

    Args:
        runs: folder of all runs.
        stage: the stage that will run.
    """
    stamp = datetime.now(timezone.utc).strftime(STAMP)
    return make_folder(runs / f"{stamp}-stage{stage.number}-{stage.name}")


def utc_now() -> str:
    """Return the current time in UTC, as in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def write(record: RunRecord, folder: Path) -> None:
    """Write a record into a run's folder, completely or not at all.

    The folder and its parent are made again if they have been removed.
    """
    folder.parent.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    text = json.dumps(dataclasses.asdict(record), indent=2, ensure_ascii=False)
    # Bytes of file names that are not UTF-8 become escapes of JSON.
    files.write(folder / FILE, f"{text}\n".encode(errors="backslashreplace"))


def read(folder: Path) -> dict[str, Any]:
    """Return the record in a run's folder.

    Returns:
        The fields that are present, each with the JSON form of its type in `RunRecord`.

    Raises:
        RecordError: it is missing or damaged.
    """
    path = folder / FILE
    try:
        entry = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is damaged: {error}") from error
    if not isinstance(entry, dict):
        raise RecordError(f"{path} is damaged: it is not a JSON object")
    wrong = [name for name in _NEEDED if name not in entry]
    hints = typing.get_type_hints(RunRecord, include_extras=True).items()
    wrong += [name for name, hint in hints if name in entry and not _is(entry[name], hint)]
    wrong += [
        name
        for name in ("started", "ended")
        if isinstance(entry.get(name), str) and not _is_time(entry[name])
    ]
    if wrong:
        raise RecordError(f"{path} is damaged: {wrong[0]} is missing or has the wrong type")
    return entry


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _is(value: object, hint: Any) -> bool:
    """Return whether a JSON value is what `dataclasses.asdict` makes of a field."""
    try:
        decode(value, hint)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def read_all(runs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield folder and record of each run, newest first; runs without a record are skipped."""
    for folder in folders(runs):
        try:
            yield folder, read(folder)
        except RecordError:
            continue


def folders(runs: Path) -> list[Path]:
    """Return the folders of all runs, newest first, even if their records cannot be read.

    Raises:
        PermissionError: the folder of all runs cannot be read.
    """
    if not runs.is_dir():
        return []
    # Unlike glob, iterdir does not take a folder that cannot be read for an empty one.
    every = sorted(runs.iterdir(), reverse=True)
    return [path for path in every if any(os.path.lexists(path / name) for name in (FILE, LOG))]


def lasted_at(entry: Mapping[str, Any], moment: float) -> bool:
    """Return whether a run was going on at a time, in seconds since the epoch.

    A run whose record has no end is still running, or was killed together with the tool.
    """
    started = datetime.fromisoformat(entry["started"]).timestamp()
    ended = entry.get("ended")
    return started <= moment and (not ended or moment <= datetime.fromisoformat(ended).timestamp())


def find_writer(runs: Path, checkpoint: Path, prefix: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return folder and record of the run that saved a checkpoint; None if unknown.

    Args:
        runs: folder of all runs.
        checkpoint: file of the checkpoint.
        prefix: its current path prefix; a later run may have moved it aside.
    """
    try:
        entries = list(read_all(runs))
    except PermissionError:
        return None  # the checkpoint can be used without
    aside = [
        entry.get("prefix") for _, entry in entries if entry.get("archive") == str(prefix.parent)
    ]
    saved = saved_at(checkpoint)
    for folder, entry in entries:
        if entry.get("prefix") in {str(prefix), *aside} and lasted_at(entry, saved):
            return folder, entry
    return None


def current_prefix(folder: Path, entry: Mapping[str, Any]) -> Path:
    """Return the path prefix that the checkpoints of a run have now.

    A later run with the same prefix, such as that of the next stage, has moved them aside.

    Args:
        folder: folder of the run.
        entry: its record.
    """
    prefix, started = Path(entry["prefix"]), datetime.fromisoformat(entry["started"])
    later = (
        other
        for _, other in read_all(folder.parent)
        if other["prefix"] == entry["prefix"] and other.get("archive")
        if datetime.fromisoformat(other["started"]) > started
    )
    first = min(later, key=lambda other: datetime.fromisoformat(other["started"]), default=None)
    return Path(first["archive"]) / prefix.name if first else prefix
