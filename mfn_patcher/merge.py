"""Carrying a change from the tree that it was made on to another one, file by file.

Where a patch is given its hunks go where `mfn_patcher.hunks` finds them, as the drift check says;
else the three versions of a file are merged by git. Only blobs of changed files are read, so a
clone without the others is enough.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.hunks import apply_fits, fit
from mfn_patcher.patches import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfn_patcher.git import Repository
    from mfn_patcher.patches import Patch

_NO_FILE = "000000"
_MOST_CONFLICTS = 127  # git merge-file's exit status is the number of conflicts, at most this


@dataclass(frozen=True)
class Entry:
    """A file in a tree: its mode, six octal digits, and its blob; `ABSENT` where there is none."""

    mode: str
    blob: str

    def __bool__(self) -> bool:
        return self.blob != ABSENT


@dataclass(frozen=True)
class Conflict:
    """A file whose change cannot be carried over without a decision.

    Attributes:
        path: which.
        base, ours, theirs: before the change, in the tree that it is carried to, and after it.
        content: merged as far as it goes, with the usual markers; None where one side has no file.
    """

    path: str
    base: Entry
    ours: Entry
    theirs: Entry
    content: bytes | None


@dataclass(frozen=True)
class Merged:
    """What became of a change.

    Attributes:
        tree: the tree with all of the change that could be carried over.
        conflicts: the files that could not; `tree` has them as they were.
    """

    tree: str
    conflicts: tuple[Conflict, ...]


def merge(
    repository: Repository,
    *,
    base: str,
    ours: str,
    theirs: str,
    labels: tuple[str, str],
    patch: Patch | None = None,
) -> Merged:
    """Carry the change from `base` to `theirs` over to `ours`.

    Args:
        repository: with the three trees, or commits, and the blobs of the changed files.
        base: what the change was made on.
        ours: what it is carried to.
        theirs: what it made.
        labels: names of `ours` and of the change, for the markers.
        patch: the patch that the change is, if it is one.
    """
    conflicts = []
    results: dict[str, Entry] = {}
    changes = _changes(repository, base, theirs)
    there = _entries(repository, ours, list(changes))
    for path, (before, after) in changes.items():
        mine = there.get(path, Entry(_NO_FILE, ABSENT))
        if after == mine:
            continue
        if before.blob == mine.blob:
            results[path] = after
            continue
        content: bytes | None = None
        conflicting = True
        if mine and after:
            content = _fitted(repository, mine, path, patch)
            conflicting = content is None
            if content is None:
                content, conflicting = _merge_file(repository, (mine, before, after), labels)
        if conflicting or content is None:
            conflicts.append(Conflict(path, before, mine, after, content))
        else:
            mode = after.mode if after.mode != before.mode else mine.mode
            blob = repository.run("hash-object", "-w", "--stdin", stdin=content).stdout
            results[path] = Entry(mode, blob.decode().strip())
    return Merged(_tree(repository, ours, results), tuple(conflicts))


def _changes(repository: Repository, base: str, theirs: str) -> dict[str, tuple[Entry, Entry]]:
    """Return the files that differ, with their entries on both sides."""
    raw = repository.out("diff", "--raw", "-z", "--no-abbrev", "--no-renames", base, theirs)
    fields = raw.split("\0")
    changes = {}
    for information, path in zip(fields[::2], fields[1::2]):
        old_mode, mode, old_blob, blob, _ = information[1:].split()
        changes[path] = (Entry(old_mode, old_blob), Entry(mode, blob))
    return changes


def _entries(repository: Repository, tree: str, paths: Sequence[str]) -> dict[str, Entry]:
    if not paths:
        return {}
    # Paths, not patterns: ls-tree takes them as they are.
    listing = repository.out("ls-tree", "-r", "-z", "--full-tree", tree, "--", *paths)
    entries = {}
    for line in filter(None, listing.split("\0")):
        information, _, path = line.partition("\t")
        mode, _, blob = information.split()
        entries[path] = Entry(mode, blob)
    return entries


def _fitted(repository: Repository, mine: Entry, path: str, patch: Patch | None) -> bytes | None:
    """Return the file with the patch's hunks, or None where one of them does not fit for sure."""
    file = next((file for file in patch.files if file.path == path), None) if patch else None
    if file is None:
        return None
    content = _read(repository, mine)
    fits = fit(content, file.hunks)
    if any(entry.found is not None or entry.ambiguous for entry in fits):
        return None
    return apply_fits(content, fits)


def _merge_file(
    repository: Repository, versions: tuple[Entry, Entry, Entry], labels: tuple[str, str]
) -> tuple[bytes, bool]:
    """Merge ours, base and theirs; return the content and whether it has conflicts."""
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        files = [str(Path(folder, name)) for name in ("ours", "base", "theirs")]
        for file, entry in zip(files, versions):
            Path(file).write_bytes(_read(repository, entry) if entry else b"")
        names = (labels[0], "before", labels[1])
        options = [option for name in names for option in ("-L", name)]
        result = repository.run(
            *("merge-file", "--stdout", "--quiet", *options, *files),
            expected=tuple(range(_MOST_CONFLICTS + 1)),
        )
    return result.stdout, result.status > 0


def _read(repository: Repository, entry: Entry) -> bytes:
    return repository.run("cat-file", "blob", entry.blob).stdout


def _tree(repository: Repository, ours: str, results: Mapping[str, Entry]) -> str:
    """Return the tree `ours` with some files changed."""
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        repository.run("read-tree", ours, env=index)
        lines = [f"{entry.mode} {entry.blob}\t{path}\0" for path, entry in results.items()]
        orders = "".join(lines).encode(errors="surrogateescape")
        repository.run("update-index", "-z", "--index-info", stdin=orders, env=index)
        # --missing-ok: in a blob-filtered clone git would fetch every blob of the tree.
        return repository.out("write-tree", "--missing-ok", env=index)
