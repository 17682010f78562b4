"""Replacing the series of a project, completely or not at all.

The changed series is written to a folder of the project that no command reads, and checked. Then
this folder gets its final name, which commits the change: the next command that reads the project
moves the files to their places, even if this process is killed. Before, nothing has changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import worktree
from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.patchfile import PatchFormatError, is_patch, read_text
from mfn_patcher.patching.project import PIN, SERIES, UPSTREAM
from mfn_patcher.patching.series import load_series, series_entries
from mfn_patcher.typed_json import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mfn_patcher.patching.series import Series

_LOG = logging.getLogger(__name__)

_DRAFT = ".mfn-patch-draft"
_COMMITTED = ".mfn-patch-committed"
_NOTE = "changes.json"  # in either


class DraftError(MfnPatchError):
    """The changed series is not valid; nothing was changed."""


@dataclass(frozen=True)
class _Changes:
    """The note in a draft: the files to write, in order, and those to remove."""

    written: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    """A changed series that has been checked.

    Attributes:
        root: the project.
        series: the changed series, in a folder of its own.
    """

    root: Path
    series: Series

    def install(self) -> None:
        """Replace the project's series; from here on, it happens even if this process is killed."""
        self.series.root.rename(self.root / _COMMITTED)
        _install(self.root)


@contextlib.contextmanager
def drafted(
    series: Series, changed: Mapping[str, bytes], *, names: Mapping[str, str] | None = None
) -> Iterator[Draft]:
    """Write and check a changed series, and lock the project meanwhile.

    Args:
        series: the project's series.
        changed: contents of changed and new files, by path below the project's root. A new patch
            requires a new ``patches/series``.
        names: new names of the patches by their old ones; patches without one are removed. By
            default, all stay.

    Raises:
        DraftError: `lint` finds a problem.
    """
    root = series.root.resolve()
    if names is None:
        names = {patch.name: patch.name for patch in series.patches}
    with _locked(root):
        _install(root)
        _refuse_stale(root, series)
        folder = root / _DRAFT
        if _is_ours(folder):
            shutil.rmtree(folder)
        files = {
            PIN: (root / PIN).read_bytes(),
            SERIES: _rename(read_text(root / SERIES), series, names),
        }
        files |= {f"patches/{names[p.name]}": p.data for p in series.patches if p.name in names}
        files.update(changed)
        try:
            for path, data in files.items():
                _write(worktree.make_parents(folder, path), data)
            if (root / UPSTREAM).exists():  # else that of the tool
                _write(folder / UPSTREAM, (root / UPSTREAM).read_bytes())
            problems = [replace(it, path=it.path.relative_to(folder)) for it in lint(folder)]
            if problems:
                raise DraftError("\n".join(map(str, problems)))
            _note_changes(folder, root, files)
            yield Draft(root, load_series(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def recover(root: Path) -> None:
    """Finish the change of a killed command if it was committed, else discard it.

    Args:
        root: the project.
    """
    if _is_ours(root / _COMMITTED) or _is_ours(root / _DRAFT):
        with _locked(root):
            shutil.rmtree(root / _DRAFT, ignore_errors=True)
            if _install(root):
                _LOG.info("finished an interrupted change of %s", root / "patches")


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _refuse_stale(root: Path, series: Series) -> None:
    """Refuse a series that another command has changed since it was read.

    Raises:
        DraftError: it has changed.
    """
    try:
        now = load_series(root)
    except PatchFormatError:
        now = None
    if not now or (now.pin, _contents(now)) != (series.pin, _contents(series)):
        raise DraftError(
            f"the patches in {root} were changed while this command ran",
            remedy="Run it again; nothing was changed.",
        )


def _contents(series: Series) -> list[tuple[str, bytes]]:
    return [(patch.name, patch.data) for patch in series.patches]


def _is_ours(folder: Path) -> bool:
    """Return whether a folder of ours exists.

    Raises:
        DraftError: something else has its name, such as a link that came with the project.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DraftError(f"{folder} is not a folder of mfn-patch", remedy="Remove it.")
    return folder.exists()


def _note_changes(folder: Path, root: Path, files: Mapping[str, bytes]) -> None:
    """Write the note for `_install`.

    Raises:
        DraftError: it would overwrite a file that is not part of the series.
        OutsideError: a path leads through a link.
        ReadOnlyError: a folder cannot be written.
    """
    written = []
    replaced = {f"patches/{name}" for _, name in series_entries(root)}
    # The series comes last, so the patches that it lists exist at any moment.
    for path in sorted(files, key=lambda path: (path == SERIES, path)):
        worktree.refuse_detour(root, path)
        found = worktree.look(root, path)
        if found and found.content == files[path]:
            continue
        is_file = found and found.mode in (worktree.FILE, worktree.PROGRAM)
        if found and not (is_file and path in {*replaced, PIN, SERIES}):
            raise DraftError(
                f"{root / path} would be overwritten, but is not a file of the series",
                remedy="Move it away and run the command again.",
            )
        written.append(path)
    removed = replaced - set(files)
    worktree.refuse_read_only(root, [*written, *removed])
    changes = _Changes(tuple(written), tuple(sorted(removed)))
    _write(folder / _NOTE, json.dumps(asdict(changes)).encode())


def _install(root: Path) -> bool:
    """Finish a committed change; return whether there was one."""
    folder = root / _COMMITTED
    if not _is_ours(folder):
        return False
    note = folder / _NOTE
    if note.exists():  # removed first, once all files are in place
        changes = _read_note(note)
        for path in changes.written:
            place = worktree.make_parents(root, path)
            if (folder / path).exists():
                (folder / path).replace(place)
        for path in changes.removed:
            worktree.remove(root, path)
        note.unlink()
    shutil.rmtree(folder)
    return True


def _read_note(note: Path) -> _Changes:
    """Return what is left to do.

    The note may have come with a project from elsewhere, so it may only name files of a series.

    Raises:
        DraftError: it is not a note of ours.
    """
    try:
        changes: _Changes = decode(json.loads(note.read_text()), _Changes)
        for path in changes.written + changes.removed:
            folder, _, name = path.partition("/")
            if path not in (PIN, SERIES) and not (folder == "patches" and is_patch(name)):
                raise ValueError(f"{path!r} is not a file of a series")
    except (OSError, ValueError, RecursionError) as error:
        raise DraftError(
            f"{note} is not a note of mfn-patch: {error}",
            remedy=f"Compare {note.parent} with {note.parent.parent / 'patches'}, then remove it.",
        ) from error
    return changes


def _rename(listing: str, series: Series, names: Mapping[str, str]) -> bytes:
    known = {patch.name for patch in series.patches}
    left = {name.partition("/")[0] for name in names.values()}
    lines = []
    for line in io.StringIO(listing):
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
