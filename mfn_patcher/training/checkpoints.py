"""The checkpoints of a prefix, and how a run's predecessors are kept from being overwritten.

A checkpoint is ``PREFIX-NNNN.params``; all of a prefix share ``PREFIX-symbol.json``.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

STAMP = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class Archive:
    """Checkpoints that were set aside.

    Attributes:
        folder: Where they are, under their names.
        prefix: Where they were.
        copies: Names that stayed there too.
    """

    folder: Path
    prefix: Path
    copies: tuple[str, ...]

    def restore(self) -> bool:
        """Put everything back, after a run that saved nothing; overwrite nothing.

        Returns:
            Whether the folder is gone, because all of it could be put back.
        """
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
    """Return the checkpoints of a prefix, by number, in order."""
    if not prefix.parent.is_dir():
        return {}
    pattern = re.compile(re.escape(prefix.name) + r"-(\d{4,})\.params")
    matches = ((pattern.fullmatch(path.name), path) for path in prefix.parent.iterdir())
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def symbol_path(prefix: Path) -> Path:
    """Return the symbol file that the checkpoints of a prefix share."""
    return prefix.with_name(f"{prefix.name}-symbol.json")


def state(prefix: Path) -> dict[int, tuple[int, int, int]]:
    """Return what tells, by number, whether a checkpoint is still the same file and content."""
    stats = {number: path.stat() for number, path in find(prefix).items()}
    return {number: (s.st_ino, s.st_size, s.st_mtime_ns) for number, s in stats.items()}


def saved_since(prefix: Path, before: Mapping[int, tuple[int, int, int]]) -> list[int]:
    """Return the numbers of the checkpoints that are new or another since `state` was taken."""
    return [number for number, now in state(prefix).items() if before.get(number) != now]


def set_aside(prefix: Path, keep: int | None, now: datetime | None = None) -> Archive | None:
    """Move all checkpoints of a prefix into a dated folder beside them.

    The one that a run starts from also stays in its place: the archive gets a copy of it, not
    a link, for MXNet writes into existing files. It is copied before anything is moved, so that
    it can be started from at every moment, whenever this is killed.

    Args:
        prefix: Of the checkpoints.
        keep: Number of the checkpoint that stays, with the symbol.
        now: For the folder's name, UTC.

    Returns:
        None if there was nothing to set aside.
    """
    files = [*find(prefix).values(), *filter(Path.exists, [symbol_path(prefix)])]
    if not files:
        return None
    stamp = (now or datetime.now(timezone.utc)).strftime(STAMP)
    folder = make_folder(prefix.with_name(f"{prefix.name}.{stamp}"))
    kept = [find(prefix).get(keep), symbol_path(prefix)] if keep is not None else []
    copies = [path for path in files if path in kept]
    for path in copies:
        _copy(path, folder / path.name)
    for path in files:
        if path not in copies:
            path.rename(folder / path.name)
    return Archive(folder, prefix, tuple(path.name for path in copies))


def make_folder(wanted: Path) -> Path:
    """Make a new folder of this name, or with ``-2``, ``-3``, … after it."""
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
    partial = target.with_name(target.name + ".partial")
    shutil.copy2(source, partial)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(target)
