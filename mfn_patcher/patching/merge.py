"""3-way merges of trees, file by file, which need only the blobs of changed files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.patching import threeway
from mfn_patcher.patching.unified import ABSENT
from mfn_patcher.patching.worktree import FILE, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.patchfile import Patch

_NO_FILE = "000000"


@dataclass(frozen=True)
class Entry:
    """A file in a tree: mode (six octal digits) and blob, which is `ABSENT` if there is no file."""

    mode: str
    blob: str

    def __bool__(self) -> bool:
        return self.blob != ABSENT

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, not a link or a submodule."""
        return self.mode in (FILE, PROGRAM)


@dataclass(frozen=True)
class Conflict:
    """A file that cannot be merged automatically.

    Attributes:
        path: the file.
        base: the file before the change.
        ours: the file in the tree that is changed.
        theirs: the file after the change.
        content: the merged content with conflict markers; None if a side has no file, or has a
            link, a submodule or a binary file.
        blocked_by: a file or folder in the place of a new file.
    """

    path: str
    base: Entry
    ours: Entry
    theirs: Entry
    content: bytes | None
    blocked_by: str = ""


@dataclass(frozen=True)
class Merged:
    """The result of a merge.

    Attributes:
        tree: the tree with all changes that could be merged.
        conflicts: the files that could not be merged, which are unchanged in `tree`.
        offsets: hunks of the patch that moved to other lines.
    """

    tree: str
    conflicts: tuple[Conflict, ...]
    offsets: tuple[threeway.Offset, ...] = ()


def merge(
    repository: Repository,
    *,
    base: str,
    ours: str,
    theirs: str,
    labels: tuple[str, str],
    patch: Patch | None = None,
) -> Merged:
    """Apply the change from `base` to `theirs` to `ours`.

    Args:
        repository: the repository with the three trees and the blobs of changed files.
        base: the tree or commit before the change.
        ours: the tree or commit to change.
        theirs: the tree or commit after the change.
        labels: names of `ours` and `theirs` for conflict markers.
        patch: the patch that made the change, to compute the offsets of its hunks.
    """
    conflicts = []
    offsets: list[threeway.Offset] = []
    results: dict[str, Entry] = {}
    changes = _changes(repository, base, theirs)
    there = {path: Entry(*entry) for path, entry in repository.entries(ours).items()}
    removed = {path for path, (_, after) in changes.items() if not after}
    for path, (before, after) in changes.items():
        mine = there.get(path, Entry(_NO_FILE, ABSENT))
        blocked_by = _blocking(path, set(there) - removed) if after and not mine else ""
        if blocked_by:
            conflicts.append(Conflict(path, before, mine, after, None, blocked_by))
            continue
        if after == mine:
            continue
        # As for lines, a change of the mode on either side counts.
        mode = after.mode if after.mode != before.mode else mine.mode
        if before.blob == mine.blob and before.is_file == mine.is_file:
            results[path] = Entry(mode, after.blob)
            continue
        content: bytes | None = None
        conflicting = True
        if all(entry.is_file or not entry for entry in (mine, before, after)) and mine and after:
            old, own, new = (_read(repository, entry) for entry in (before, mine, after))
            merged = threeway.merge(repository, old, own, new, labels)
            content, conflicting = merged.content, merged.conflicting
            if patch and not conflicting:
                offsets += merged.offsets(file for file in patch.files if file.path == path)
        if conflicting or content is None:
            conflicts.append(Conflict(path, before, mine, after, content))
        else:
            results[path] = Entry(mode, write_blob(repository, content))
    return Merged(change_tree(repository, ours, results), tuple(conflicts), tuple(offsets))


def _changes(repository: Repository, base: str, theirs: str) -> dict[str, tuple[Entry, Entry]]:
    """Return the files that differ, with their entries on both sides."""
    raw = repository.out("diff", "--raw", "-z", "--no-abbrev", "--no-renames", base, theirs)
    fields = raw.split("\0")
    changes = {}
    for information, path in zip(fields[::2], fields[1::2]):
        old_mode, mode, old_blob, blob, _ = information[1:].split()
        changes[path] = (Entry(old_mode, old_blob), Entry(mode, blob))
    return changes


def _blocking(path: str, there: set[str]) -> str:
    """Return the file or folder that prevents a file at `path`, or an empty string."""
    folder = f"{path}/"
    files = (other for other in there if path.startswith(f"{other}/"))
    return next(files, folder if any(other.startswith(folder) for other in there) else "")


def write_blob(repository: Repository, content: bytes) -> str:
    """Store content in the repository, and return its blob id."""
    return repository.run("hash-object", "-w", "--stdin", stdin=content).stdout.decode().strip()


def _read(repository: Repository, entry: Entry) -> bytes:
    return repository.run("cat-file", "blob", entry.blob).stdout if entry else b""


def change_tree(repository: Repository, ours: str, results: Mapping[str, Entry]) -> str:
    """Return the tree `ours` with some files changed."""
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        repository.run("read-tree", ours, env=index)
        lines = [f"{entry.mode} {entry.blob}\t{path}\0" for path, entry in results.items()]
        orders = "".join(lines).encode(errors="surrogateescape")
        repository.run("update-index", "-z", "--index-info", stdin=orders, env=index)
        # --missing-ok: in a blob-filtered clone git would fetch every blob of the tree.
        return repository.out("write-tree", "--missing-ok", env=index)
