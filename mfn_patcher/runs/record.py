"""The record of a run: a folder with the output and ``run.json``, which says what was run.

``docs/schema/run.json`` describes the fields. What the output tells is also in the files of
`mfn_patcher.runs.events`.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
import math
import os
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mfn_patcher.checkpoints.folder import STAMP, make_folder
from mfn_patcher.data.fingerprint import Fingerprint
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.recipes.model import Stage
from mfn_patcher.runs.code import AppliedPatch

LOG = "output.log"
EDITS = "edits.patch"
FILE = "run.json"
# Fields without which a record says nothing of use; records of older versions lack others.
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
# JSON can hold halves of characters, which can't be printed.
_SURROGATES = re.compile("[\ud800-\udfff]")


class RecordError(MfnPatchError):
    """A ``run.json`` is missing or damaged."""


@dataclass(frozen=True)
class RunRecord:
    """What was run, and what came of it.

    Attributes:
        recipe: Name.
        stage: Number.
        name: Of the stage.
        command: Program and arguments.
        shell_line: The same as a shell takes it.
        folder: That it ran in.
        environment: The variables that differ from the user's.
        batch_size: Images a step, over all devices.
        steps: Number of steps; None for no end.
        checkpoint_every: steps between checkpoints.
        prefix: Of the checkpoints; absolute.
        data_dir: Absolute.
        start: Prefix and number of the checkpoint that it started from, such as ``model,20``.
        versions: Of the tool, Python and packages.
        engine: ``name``, ``build`` and ``reason`` of what computed it.
        pin: The commit of upstream that the chain of patches starts from.
        chain_commit: The end of the chain, which says which code was trained.
        patches: Of the chain.
        edited: Whether the user had changed that code; the changes are in ``edits.patch``.
        data_set: Its fingerprint.
        seed: Of all that is random; None without one.
        resumed_from: Name of the run's folder that it goes on from; None if it started by itself.
        resumed_checkpoint: Number of the checkpoint that it goes on from; None if that run had
            saved none.
        archive: Folder into which former checkpoints were set aside.
        started: UTC.
        ended: UTC.
        seconds: Between them.
        exit_status: Of the script; -N if signal N ended it.
        signal: Name of the signal that the tool received.
        outcome: ``running``, ``completed``, ``failed`` or ``interrupted``.
        last_checkpoint: Number of the last checkpoint that was saved.
    """

    recipe: str
    stage: int
    name: str
    command: tuple[str, ...]
    shell_line: str
    folder: str
    environment: Mapping[str, str]
    batch_size: int
    steps: int | None
    checkpoint_every: int
    prefix: str
    data_dir: str
    start: str | None
    versions: Mapping[str, str]
    engine: Mapping[str, str]
    pin: str | None
    chain_commit: str | None
    patches: tuple[AppliedPatch, ...]
    edited: bool
    data_set: Fingerprint
    seed: int | None
    resumed_from: str | None
    resumed_checkpoint: int | None
    archive: str | None
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
        runs: The folder of all runs.
        stage: To be run.
    """
    stamp = datetime.now(timezone.utc).strftime(STAMP)
    return make_folder(runs / f"{stamp}-stage{stage.number}-{stage.name}")


def utc_now() -> str:
    """Return the time as ISO 8601 has it, in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def write(record: RunRecord, folder: Path) -> None:
    """Write a record into a run's folder, whole or not at all.

    The folder, and the one of all runs, are made again if somebody has removed them.
    """
    folder.parent.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    partial = folder / f"{FILE}.partial"
    with partial.open("w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(record), file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / FILE)


def read(folder: Path) -> dict[str, Any]:
    """Return the record in a run's folder.

    Returns:
        Every field that is there has the type that `Record` gives it, as JSON has it.

    Raises:
        RecordError: There is none, or it is damaged.
    """
    path = folder / FILE
    try:
        entry = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise RecordError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is damaged: {error}") from error
    if not isinstance(entry, dict):
        raise RecordError(f"{path} is damaged: it holds no JSON object")
    wrong = [name for name in _NEEDED if name not in entry]
    hints = _hints(RunRecord)
    wrong += [name for name, hint in hints.items() if name in entry and not _is(entry[name], hint)]
    wrong += [
        name
        for name in ("started", "ended")
        if isinstance(entry.get(name), str) and not _is_time(entry[name])
    ]
    if wrong:
        raise RecordError(f"{path} is damaged: {wrong[0]} is missing or of another type")
    return entry


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _is(value: object, hint: Any) -> bool:
    """Return whether a value from JSON is what `dataclasses.asdict` makes of a field."""
    arguments = typing.get_args(hint)
    kind = typing.get_origin(hint) or hint
    if kind is tuple:
        return isinstance(value, list) and all(_is(item, arguments[0]) for item in value)
    if kind is collections.abc.Mapping:
        return isinstance(value, dict) and all(_is(item, arguments[1]) for item in value.values())
    if dataclasses.is_dataclass(kind):
        fields = _hints(hint)
        return isinstance(value, dict) and all(_is(value.get(key), fields[key]) for key in fields)
    if arguments:
        return any(_is(value, argument) for argument in arguments)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(typing.cast("float", value))
    if kind is str:
        return isinstance(value, str) and not _SURROGATES.search(value)
    return type(value) is kind


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def read_all(runs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Return folder and record of each run, newest first; those without one are passed over."""
    for folder in folders(runs):
        try:
            yield folder, read(folder)
        except RecordError:
            continue


def folders(runs: Path) -> list[Path]:
    """Return the folders of all runs, newest first, whether their records can be read or not."""
    files = (path for name in (FILE, LOG) for path in runs.glob(f"*/{name}"))
    return sorted({path.parent for path in files}, reverse=True)


def lasted_at(entry: Mapping[str, Any], moment: float) -> bool:
    """Return whether a run was at work at a moment, in seconds since the epoch.

    One whose record has no end is at work still, or was killed together with the tool.
    """
    started = datetime.fromisoformat(entry["started"]).timestamp()
    ended = entry.get("ended")
    return started <= moment and (not ended or moment <= datetime.fromisoformat(ended).timestamp())


def find_writer(runs: Path, checkpoint: Path, prefix: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return folder and record of the run that saved a checkpoint; None if that isn't known.

    Args:
        runs: The folder of all runs.
        checkpoint: Its file.
        prefix: Of the checkpoint, as it is now: a later run may have set it aside.
    """
    entries = list(read_all(runs))
    aside = [
        entry.get("prefix") for _, entry in entries if entry.get("archive") == str(prefix.parent)
    ]
    saved = checkpoint.stat().st_mtime
    for folder, entry in entries:
        if entry.get("prefix") in {str(prefix), *aside} and lasted_at(entry, saved):
            return folder, entry
    return None
