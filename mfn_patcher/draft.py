"""A changed series, written aside and checked, then put in the place of the old one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.lint import lint
from mfn_patcher.patches import load_series, series_entries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mfn_patcher.patches import Series

_PIN = "pinned_commit.txt"
_SERIES = "patches/series"


class DraftError(MfnPatchError):
    """The changed series would not be one; nothing was changed."""


def write_draft(
    folder: Path, series: Series, changed: Mapping[str, bytes], *, names: Mapping[str, str]
) -> Series:
    """Write a series into an empty folder, laid out like a project.

    Args:
        folder: where to.
        series: what it is made from.
        changed: contents by path below the project's root, for what becomes another or is new.
        names: the patches that it has, by the names that they had; one that is missing goes. A
            new patch's place is told by `changed`, which then holds ``patches/series`` too.

    Returns:
        The series in `folder`.

    Raises:
        DraftError: `lint` finds something wrong with it.
    """
    files = {
        _PIN: (series.root / _PIN).read_bytes(),
        _SERIES: _rename((series.root / _SERIES).read_bytes(), series, names),
    }
    files.update({f"patches/{names[p.name]}": p.data for p in series.patches if p.name in names})
    files.update(changed)
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        _write(place, data)
    problems = lint(folder)
    if problems:
        raise DraftError("\n".join(str(problem) for problem in problems))
    return load_series(folder)


def install(draft: Path, root: Path) -> None:
    """Make the project at `root` what `draft` is.

    What needs room is done first, and ``patches/series`` moves last: after an error or a kill
    the same call does the rest.
    """
    before = {name for _, name in series_entries(root)}
    after = [name for _, name in series_entries(draft)]
    moves: list[tuple[Path, Path]] = []
    try:
        for path in (*(f"patches/{name}" for name in after), _PIN, _SERIES):
            data, place = (draft / path).read_bytes(), root / path
            if not place.exists() or place.read_bytes() != data:
                place.parent.mkdir(exist_ok=True)
                moves.append((place.with_name(f".{place.name}.new"), place))
                _write(moves[-1][0], data)
    except OSError:
        for new, _ in moves:
            new.unlink(missing_ok=True)
        raise
    for name in before - set(after):
        (root / "patches" / name).unlink(missing_ok=True)
    for new, place in moves:
        new.replace(place)


def _rename(listing: bytes, series: Series, names: Mapping[str, str]) -> bytes:
    known = {patch.name for patch in series.patches}
    lines = []
    for line in listing.decode().splitlines(keepends=True):
        name = line.strip()
        if name not in known:
            lines.append(line)
        elif name in names:
            lines.append(line.replace(name, names[name]))
    return "".join(lines).encode()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
