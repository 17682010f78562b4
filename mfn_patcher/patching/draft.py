"""A changed series, written aside and checked, then put in the place of the old one.

It is written into a folder of the project that no command reads. Giving that folder its final name
is what decides: from then on whoever reads the project first puts the files in their places, and
whoever was killed before has changed nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import worktree
from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.series import load_series, series_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mfn_patcher.patching.series import Series

PIN = "pinned_commit.txt"
SERIES = "patches/series"

_DRAFT = ".mfn-patch-draft"
_DECIDED = ".mfn-patch-decided"
_NOTE = "changes.json"  # in either: which files are written, in order, and which are removed


class DraftError(MfnPatchError):
    """The changed series is not valid; nothing was changed."""


@dataclass(frozen=True)
class Draft:
    """A changed series that has been checked, and that `install` puts in its place.

    Attributes:
        root: the project.
        series: the changed series, which stands aside yet.
    """

    root: Path
    series: Series

    def install(self) -> None:
        """Put it in the place of the project's; done even if we are killed from here on."""
        self.series.root.rename(self.root / _DECIDED)
        _install(self.root)


@contextlib.contextmanager
def drafted(
    series: Series, changed: Mapping[str, bytes], *, names: Mapping[str, str]
) -> Iterator[Draft]:
    """Write a changed series aside, and keep others from changing the project meanwhile.

    Args:
        series: what it is made from.
        changed: contents by path below the project's root, for what becomes another or is new.
        names: the patches that it has, by the names that they had; one that is missing goes. A
            new patch's place is told by `changed`, which then holds ``patches/series`` too.

    Raises:
        DraftError: `lint` finds something wrong with it.
    """
    root = series.root.resolve()
    with _locked(root):
        _install(root)
        folder = root / _DRAFT
        shutil.rmtree(folder, ignore_errors=True)
        files = {
            PIN: (root / PIN).read_bytes(),
            SERIES: _rename((root / SERIES).read_bytes(), series, names),
        }
        files |= {f"patches/{names[p.name]}": p.data for p in series.patches if p.name in names}
        files.update(changed)
        try:
            for path, data in files.items():
                _write(worktree.make_parents(folder, path), data)
            problems = [replace(it, path=it.path.relative_to(folder)) for it in lint(folder)]
            if problems:
                raise DraftError("\n".join(map(str, problems)))
            _note_changes(folder, root, files)
            yield Draft(root, load_series(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def recover(root: Path, report: Callable[[str], None] = lambda _: None) -> None:
    """Put a changed series in its place, if a killed command had decided on it; else remove it.

    Args:
        root: the project.
        report: called with a line if there was something to do.
    """
    if (root / _DECIDED).exists() or (root / _DRAFT).exists():
        with _locked(root):
            shutil.rmtree(root / _DRAFT, ignore_errors=True)
            if _install(root):
                report(f"finished writing {root / 'patches'}, which was interrupted")


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _note_changes(folder: Path, root: Path, files: Mapping[str, bytes]) -> None:
    """Write down what `_install` will do.

    Raises:
        DraftError: something would be replaced that is no file of the series.
        OutsideError: a path leads through a link.
    """
    written = []
    replaced = {f"patches/{name}" for _, name in series_entries(root)}
    # The series comes last: at each moment the patches that it names are there.
    for path in sorted(files, key=lambda path: (path == SERIES, path)):
        worktree.refuse_detour(root, path)
        found = worktree.look(root, path)
        if found and found.content == files[path]:
            continue
        is_file = found and found.mode in (worktree.FILE, worktree.PROGRAM)
        if found and not (is_file and path in {*replaced, PIN, SERIES}):
            raise DraftError(
                f"{root / path} would be overwritten, and is not a file of the series",
                remedy="Move it out of the way and run the command again.",
            )
        written.append(path)
    removed = replaced - set(files)
    note = json.dumps({"written": written, "removed": sorted(removed)})
    _write(folder / _NOTE, note.encode())


def _install(root: Path) -> bool:
    """Do what is left to do of a change that was decided on; return whether there was one."""
    folder = root / _DECIDED
    if not folder.exists():
        return False
    note = folder / _NOTE
    if note.exists():  # it goes first of all, once everything is done
        changes = json.loads(note.read_text())
        for path in changes["written"]:
            place = worktree.make_parents(root, path)
            if (folder / path).exists():
                (folder / path).replace(place)
        for path in changes["removed"]:
            worktree.remove(root, path)
        note.unlink()
    shutil.rmtree(folder)
    return True


def _rename(listing: bytes, series: Series, names: Mapping[str, str]) -> bytes:
    known = {patch.name for patch in series.patches}
    left = {name.partition("/")[0] for name in names.values()}
    lines = []
    for line in listing.decode().splitlines(keepends=True):
        name = line.strip()
        stack, requires, needed = name.partition(" requires ")
        if requires and stack in series.requires:
            still = [other for other in needed.split() if other in left]
            if stack in left and still:
                lines.append(f"{stack} requires {' '.join(still)}\n")
        elif name not in known:
            lines.append(line)
        elif name in names:
            lines.append(line.replace(name, names[name]))
    return "".join(lines).encode()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
