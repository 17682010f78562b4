"""The checkpoints of a prefix: finding them, checking them, and setting them aside.

A checkpoint is ``PREFIX-NNNN.params``; all of a prefix share ``PREFIX-symbol.json``. A training
that can be resumed also saves ``PREFIX-NNNN.states``, the momentum, and ``PREFIX-NNNN.json``, a
manifest with size and SHA-256 of both. The manifest is written last: a checkpoint is complete if it
has one that fits its files.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mfn_patcher.engine import MXNET

STAMP = "%Y%m%dT%H%M%S"
_PARTS = ("params", "states", "json")
_PARTIAL = ".partial"
_CHUNK = 1 << 20  # bytes


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
        number: parts["params"]
        for number, parts in _find_parts(prefix).items()
        if "params" in parts
    }


def _find_parts(prefix: Path, ending: str = "") -> dict[int, dict[str, Path]]:
    """Return the files of each checkpoint by kind, by number, in order."""
    if not prefix.parent.is_dir():
        return {}
    kinds = "|".join(_PARTS)
    pattern = re.compile(rf"{re.escape(prefix.name)}-(\d{{4,}})\.({kinds}){re.escape(ending)}")
    found: dict[int, dict[str, Path]] = {}
    for path in prefix.parent.iterdir():
        if match := pattern.fullmatch(path.name):
            found.setdefault(int(match[1]), {})[match[2]] = path
    return dict(sorted(found.items()))


def largest(prefix: Path) -> int:
    """Return the size in bytes of the largest checkpoint of a prefix, all of its files together."""
    return max(
        (sum(map(_size, parts.values())) for parts in _find_parts(prefix).values()), default=0
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        # The script removes old checkpoints while it trains.
        return 0


@dataclass(frozen=True)
class Complete:
    """A complete checkpoint, from which a training can be resumed.

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
    """Return the complete checkpoint of a prefix that was saved last."""
    found = []
    for number, parts in _find_parts(prefix).items():
        manifest = _read_manifest(parts["json"]) if parts.keys() == set(_PARTS) else None
        if manifest:
            checkpoint = Complete(
                number,
                parts["params"],
                manifest.step,
                manifest.saved,
                manifest.arguments,
                manifest.engine,
            )
            found.append((manifest, checkpoint, parts))
    for manifest, checkpoint, parts in sorted(found, key=lambda each: -each[0].saved):
        if all(_fits(parts[kind], *file) for kind, file in manifest.files.items()):
            return checkpoint
    return None


@dataclass(frozen=True)
class _Manifest:
    """What is used of a manifest; ``files`` has the size and SHA-256 of each file, by kind."""

    saved: float
    step: int
    arguments: Mapping[str, Any]
    engine: str
    files: Mapping[str, tuple[int, str]]


def _read_manifest(path: Path) -> _Manifest | None:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        files = {kind: held["files"][kind] for kind in ("params", "states")}
        saved = float(held["saved"])
        # A training that has diverged cannot be resumed usefully.
        figures = dict(held.get("verification", {})).values()
        if not all(map(math.isfinite, (saved, *figures))):
            return None
        return _Manifest(
            saved,
            int(held["step"]),
            dict(held.get("arguments", {})),
            # Manifests from before there was a second engine do not name it.
            str(held.get("engine", MXNET)),
            {kind: (file["bytes"], file["sha256"]) for kind, file in files.items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _fits(path: Path, size: int, sha256: str) -> bool:
    if _size(path) != size:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == sha256


def clean(prefix: Path) -> None:
    """Remove the partial files that killed runs have left."""
    leftovers = [
        path for parts in _find_parts(prefix, _PARTIAL).values() for path in parts.values()
    ]
    symbol = symbol_path(prefix)
    for path in (*leftovers, symbol.with_name(symbol.name + _PARTIAL)):
        path.unlink(missing_ok=True)


def symbol_path(prefix: Path) -> Path:
    """Return the path of the symbol file that the checkpoints of a prefix share."""
    return prefix.with_name(f"{prefix.name}-symbol.json")


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
    parts = _find_parts(prefix)
    files = [path for kinds in parts.values() for path in kinds.values()]
    files += filter(Path.exists, [symbol_path(prefix)])
    if not files:
        return None
    stamp = (now or datetime.now(timezone.utc)).strftime(STAMP)
    folder = make_folder(prefix.with_name(f"{prefix.name}.{stamp}"))
    kept = [*parts.get(keep, {}).values(), symbol_path(prefix)] if keep is not None else []
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
    partial = target.with_name(target.name + _PARTIAL)
    shutil.copy2(source, partial)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(target)
