"""The checkpoints of a prefix: finding them, checking them, and setting them aside.

The files of a checkpoint are described in `mfn_patcher.trainer.mfn_trainer.layout`.
"""

from __future__ import annotations

import filecmp
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mfn_patcher.engine import MXNET
from mfn_patcher.trainer.mfn_trainer.arguments import MAY_CHANGE_ON_RESUME, option_of
from mfn_patcher.trainer.mfn_trainer.layout import (
    KINDS,
    MANIFEST,
    MOMENTUM,
    PARAMETERS,
    PARTIAL,
    digest,
    find_files,
    partial_file,
    read_manifest,
    symbol_file,
)

STAMP = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class Archive:
    """Checkpoints that were set aside.

    Attributes:
        folder: folder that they were moved to, under their names.
        prefix: path prefix that they had before.
        copies: names of the files that also stayed in their places.
    """

    folder: Path
    prefix: Path
    copies: tuple[str, ...]

    def restore(self) -> bool:
        """Move the files back after a run that saved nothing; no file is overwritten.

        Returns:
            Whether all files were moved back, so that the folder was removed.
        """
        if not self.folder.is_dir():
            return False
        for path in sorted(self.folder.iterdir()):
            place = self.prefix.parent / path.name
            if not place.exists():
                path.rename(place)
            elif path.name in self.copies and filecmp.cmp(path, place, shallow=False):
                path.unlink()
        if any(self.folder.iterdir()):
            return False
        self.folder.rmdir()
        return True


def find(prefix: Path) -> dict[int, Path]:
    """Return the path of each checkpoint of a prefix, by number, in order."""
    return {
        number: parts[PARAMETERS]
        for number, parts in find_files(prefix).items()
        if PARAMETERS in parts
    }


def saved_at(path: Path) -> float:
    """Return when a checkpoint was saved, in seconds since the epoch.

    Its manifest says so; without one it is the time of the file, which a copy may not keep.
    """
    try:
        return float(read_manifest(path.with_suffix(f".{MANIFEST}"))["saved"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.stat().st_mtime


def largest(prefix: Path) -> int:
    """Return the size in bytes of the largest checkpoint of a prefix, all of its files together."""
    return max(
        (sum(map(_size, parts.values())) for parts in find_files(prefix).values()), default=0
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        # The script removes old checkpoints while it trains.
        return 0


@dataclass(frozen=True)
class Complete:
    """A complete checkpoint, from which training can be resumed.

    Attributes:
        number: number in its file names.
        path: path of its ``.params`` file.
        step: step at which it was saved.
        saved: time at which it was saved, in seconds since 1970.
        arguments: arguments of the script that saved it, by name; empty if its manifest does not
            have them.
        engine: name of the engine that computed it.
    """

    number: int
    path: Path
    step: int
    saved: float
    arguments: Mapping[str, Any]
    engine: str


def last_complete(prefix: Path) -> Complete | None:
    """Return the last complete checkpoint of the training that saved to a prefix last.

    Of one training it is the one of the highest step, because clocks are set back.
    """
    described = [
        (parts, *manifest)
        for number, parts in find_files(prefix).items()
        if parts.keys() == set(KINDS) and (manifest := _from_manifest(number, parts))
    ]
    newest: dict[str, float] = {}
    for _, checkpoint, _ in described:
        training = _training_of(checkpoint)
        newest[training] = max(checkpoint.saved, newest.get(training, -math.inf))

    def rank(each: tuple[object, Complete, object]) -> tuple[float, int]:
        return newest[_training_of(each[1])], each[1].step

    for parts, checkpoint, files in sorted(described, key=rank, reverse=True):
        if all(_fits(parts[kind], file) for kind, file in files.items()):
            return checkpoint
    return None


def _training_of(checkpoint: Complete) -> str:
    """Return what all checkpoints of one training have in common, and no others of their prefix.

    A later stage leaves the checkpoint that it starts from in its place.
    """
    fixed = {
        name: value
        for name, value in checkpoint.arguments.items()
        if option_of(name) == "--pretrained" or option_of(name) not in MAY_CHANGE_ON_RESUME
    }
    return json.dumps(fixed or checkpoint.number, sort_keys=True)


def _from_manifest(
    number: int, parts: Mapping[str, Path]
) -> tuple[Complete, dict[str, dict[str, Any]]] | None:
    """Return a checkpoint as its manifest describes it, and size and SHA-256 of its files, by kind.

    A damaged manifest, or one of a run that has diverged, describes none.
    """
    try:
        held = read_manifest(parts[MANIFEST])
        files = {kind: dict(held["files"][kind]) for kind in (PARAMETERS, MOMENTUM)}
        saved = float(held["saved"])
        figures = dict(held.get("verification", {})).values()
        if not (held.get("finite", True) and all(map(math.isfinite, (saved, *figures)))):
            return None
        checkpoint = Complete(
            number,
            parts[PARAMETERS],
            int(held["step"]),
            saved,
            dict(held.get("arguments", {})),
            # Manifests from before there was a second engine do not name it.
            str(held.get("engine", MXNET)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return checkpoint, files


def _fits(path: Path, described: Mapping[str, Any]) -> bool:
    # The size is compared first, which costs nothing.
    return _size(path) == described.get("bytes") and digest(path) == described


def clean(prefix: Path) -> None:
    """Remove the partial files that killed runs have left."""
    leftovers = [path for parts in find_files(prefix, PARTIAL).values() for path in parts.values()]
    for path in (*leftovers, partial_file(symbol_file(prefix))):
        path.unlink(missing_ok=True)


def state(prefix: Path) -> dict[int, tuple[int, int, int]]:
    """Return, by number, values that change if a checkpoint is replaced or written to."""
    stats = {number: path.stat() for number, path in find(prefix).items()}
    return {number: (s.st_ino, s.st_size, s.st_mtime_ns) for number, s in stats.items()}


def saved_since(prefix: Path, before: Mapping[int, tuple[int, int, int]]) -> list[int]:
    """Return the numbers of the checkpoints that are new or changed since `state` was called."""
    return [number for number, now in state(prefix).items() if before.get(number) != now]


def set_aside(prefix: Path, keep: int | None, now: datetime | None = None) -> Archive | None:
    """Move all checkpoints of a prefix into a dated folder beside them.

    The checkpoint that a run starts from stays in its place, and the archive gets a copy of it; a
    link would not do, because MXNet writes into existing files. The copy is made before anything is
    moved, so that the run can start from it whenever this function is interrupted.

    Args:
        prefix: path prefix of the checkpoint files.
        keep: number of the checkpoint that stays; the symbol stays with it.
        now: time for the name of the folder, UTC.

    Returns:
        None if there was nothing to set aside.
    """
    parts = find_files(prefix)
    files = [path for kinds in parts.values() for path in kinds.values()]
    files += filter(Path.exists, [symbol_file(prefix)])
    if not files:
        return None
    stamp = (now or datetime.now(timezone.utc)).strftime(STAMP)
    folder = make_folder(prefix.with_name(f"{prefix.name}.{stamp}"))
    kept = [*parts.get(keep, {}).values(), symbol_file(prefix)] if keep is not None else []
    copies = [path for path in files if path in kept]
    for path in copies:
        _copy(path, folder / path.name)
    for path in files:
        if path not in copies:
            path.rename(folder / path.name)
    return Archive(folder, prefix, tuple(path.name for path in copies))


def make_folder(wanted: Path) -> Path:
    """Make a new folder with this name, or with ``-2``, ``-3``, … appended."""
    folder, count = wanted, 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            count += 1
            folder = wanted.with_name(f"{wanted.name}-{count}")
        else:
            return folder


def _copy(source: Path, target: Path) -> None:
    partial = partial_file(target)
    shutil.copy2(source, partial)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(target)
