"""Three versions of a file merged by git, and how far that moves the hunks of a patch.

Where a file has equal blocks, the hunks alone cannot tell which one they are for; what became of
the file they were made for can.
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

_LOOKED_AT = 8000  # bytes in which git looks for a NUL
_MOST_CONFLICTS = 127  # git merge-file's exit status is the number of conflicts, at most this
_CHANGE = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@", re.MULTILINE)


@dataclass(frozen=True)
class Offset:
    """A hunk that goes some lines away from where its patch says."""

    path: str
    hunk: int
    lines: int


@dataclass(frozen=True)
class ThreeWay:
    """What became of a file.

    Attributes:
        content: merged as far as it goes, with the usual markers; None for a binary file.
        conflicting: whether it needs a decision.
        changes: where ours differs from the base: first line in the base, from 1 (0 and no lines
            is the beginning), how many lines there, and how many in ours.
    """

    content: bytes | None
    conflicting: bool
    changes: tuple[tuple[int, int, int], ...] = ()

    def offsets(self, files: Iterable[FilePatch]) -> tuple[Offset, ...]:
        """Return the hunks of `files`, made for the base, that go to another line."""
        offsets = []
        for file in files:
            for hunk in file.hunks:
                line = hunk.source_start + hunk.leading  # the first that it changes
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
    """Merge as git does.

    A file with a NUL byte at its beginning is binary, as for git. So is UTF-16.

    Args:
        repository: whose git is run; nothing of it is read or written.
        base: the version that both others come from.
        ours: the one to carry the change to.
        theirs: the one that made the change.
        labels: names of `ours` and `theirs` for the markers.
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
            "diff", *how, "--", files["base"], files["ours"], expected=(0, 1)
        ).stdout
    changes = []
    for found in _CHANGE.finditer(diff):
        start, before, after = (1 if number is None else int(number) for number in found.groups())
        changes.append((start, before, after))
    return ThreeWay(merged.stdout, merged.status > 0, tuple(changes))
