"""Moving the files of an export to their places, all of them or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mfn_patcher.export.errors import ExportError


def refuse_existing(folder: Path, names: Sequence[str]) -> None:
    """Check that a folder has none of these files.

    Raises:
        ExportError: It has one.
    """
    there = [name for name in names if os.path.lexists(folder / name)]
    if there:
        raise ExportError(
            f"{folder} already has {', '.join(there)}; nothing is overwritten",
            remedy="Name another folder with --output, or move the files away.",
        )


def publish(made: Path, folder: Path, names: Sequence[str]) -> None:
    """Give files their places; what another program has put there meanwhile stays.

    Args:
        made: folder that the files are in.
        folder: folder that they belong in.
        names: their names.

    Raises:
        ExportError: One of the names is taken.
        OSError: A file cannot be written.
    """
    done: list[Path] = []
    try:
        for name in names:
            _place(made / name, folder / name)
            done.append(folder / name)
    except OSError as error:
        for path in done:
            path.unlink()
        if isinstance(error, FileExistsError):
            refuse_existing(folder, names)
        raise


def _place(made: Path, path: Path) -> None:
    """Give a file a path that must be free, whole or not at all."""
    try:
        os.link(made, path)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has hard links.
        with made.open("rb") as source, path.open("xb") as target:
            try:
                shutil.copyfileobj(source, target)
            except BaseException:
                path.unlink()
                raise
