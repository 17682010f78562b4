"""3-way merges of a file by git, and the offsets of a patch's hunks in the result.

If a file has equal blocks, hunks alone cannot tell which block they are for; a merge with the
version that the patch was made for can.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.unified import FilePatch

_LOOKED_AT = 8000  # git searches a NUL in so many bytes to detect a binary file
_MOST_CONFLICTS = 127  # git merge-file's exit status is the number of conflicts, at most this
_CHANGE = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@", re.MULTILINE)


@dataclass(frozen=True)
class Offset:
    """A hunk that is `lines` lines away from the place that its patch names."""

    path: str
    hunk: int
    lines: int


@dataclass(frozen=True)
class ThreeWay:
    """The result of merging a file.

    Attributes:
        content: the merged content, with conflict markers; None for a binary file.
        conflicting: whether there are conflicts.
        changes: where ours differs from the base: the first line in the base, from 1 (0 with no
            lines is the start of the file), the number of lines there, and the number in ours.
    """

    content: bytes | None
    conflicting: bool
    changes: tuple[tuple[int, int, int], ...] = ()

    def offsets(self, files: Iterable[FilePatch]) -> tuple[Offset, ...]:
        """Return the hunks of `files`, which were made for the base, that move to another line."""
        offsets = []
        for file in files:
            for hunk in file.hunks:
                line = hunk.source_start + hunk.leading  # the first changed line
                lines = sum(
                    after - before
                    for start, before, after in self.changes
                    if line > start + max(before, 1) - 1
                )
                if lines:
                    offsets.append(Offset(file.path, hunk.number, lines))
        return tuple(offsets)


def merge(
    repository: Repository, base: bytes, ours: bytes, theirs: bytes, labels: tuple[str, str]
) -> ThreeWay:
    """Merge a file as git does.

    As in git, a file with a NUL near its start is binary, and so is UTF-16.

    Args:
        repository: runs git, and is neither read nor written.
        base: the common version.
        ours: the version to change.
        theirs: the version with the change.
        labels: names of `ours` and `theirs` for conflict markers.
    """
    if any(b"\0" in content[:_LOOKED_AT] for content in (base, ours, theirs)):
        return ThreeWay(None, conflicting=True)
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        files = {name: str(Path(folder, name)) for name in ("ours", "base", "theirs")}
        for name, content in (("ours", ours), ("base", base), ("theirs", theirs)):
            Path(files[name]).write_bytes(content)
        options = [word for name in (labels[0], "before", labels[1]) for word in ("-L", name)]
        merged = repository.run(
            *("merge-file", "--stdout", "--quiet", *options, *files.values()),
            expected=tuple(range(_MOST_CONFLICTS + 1)),
        )
        how = ("--no-index", "--no-ext-diff", "--no-color", "--unified=0", "--text")
        diff = repository.run(
            *("-c", "core.autocrlf=false", "diff", *how, "--"),
            files["base"],
            files["ours"],
            expected=(0, 1),
        ).stdout
    changes = []
    for found in _CHANGE.finditer(diff):
        start, before, after = (1 if number is None else int(number) for number in found.groups())
        changes.append((start, before, after))
    return ThreeWay(merged.stdout, merged.status > 0, tuple(changes))
