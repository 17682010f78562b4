"""Verdicts on hunks, patches and a whole series."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfn_patcher.patching.patchfile import Patch
    from mfn_patcher.patching.unified import Hunk


class HunkState(str, enum.Enum):
    """The verdict on a hunk."""

    EXACT = "exact"
    OFFSET = "offset"
    ALREADY_APPLIED = "already-applied"
    AMBIGUOUS = "ambiguous"
    CONFLICT = "conflict"
    FILE_MOVED = "file-moved"
    FILE_GONE = "file-gone"

    @property
    def is_missing_file(self) -> bool:
        """Whether the file of the hunk does not exist under its name."""
        return self in (HunkState.FILE_MOVED, HunkState.FILE_GONE)


class PatchState(str, enum.Enum):
    """The verdict on a patch, from good to bad."""

    CLEAN = "clean"
    OFFSET = "offset"
    MERGED = "merged"
    CONFLICT = "conflict"
    GONE = "gone"

    @property
    def rank(self) -> int:
        """How bad the verdict is, from 0."""
        return list(PatchState).index(self)


@dataclass(frozen=True)
class Commit:
    """A commit of upstream, with what is shown of it; `date` is YYYY-MM-DD."""

    id: str
    date: str
    subject: str

    def __str__(self) -> str:
        return f"{self.id[:12]} ({self.date}): {self.subject}"


@dataclass(frozen=True)
class HunkVerdict:
    """The verdict on one hunk.

    Attributes:
        path: the file that the patch names.
        hunk: the hunk of the patch.
        state: the verdict.
        line: the line, from 1, at which the hunk fits, or most of it; earlier hunks count as
            applied.
        offset: the distance, in lines, from the place that the patch names.
        found: for a conflict, the lines that are there.
        blocked_by: for a new file, the file or folder in its place.
        moved_to: for a missing file, the path that it moved to.
        similarity: of the file there to the pre-image, from 0 to 1.
        removed_by: for a missing file, the commit that removed it, if known.
    """

    path: str
    hunk: Hunk
    state: HunkState
    line: int = 0
    offset: int = 0
    found: tuple[bytes, ...] = ()
    blocked_by: str = ""
    moved_to: str = ""
    similarity: float = 0.0
    removed_by: Commit | None = None


@dataclass(frozen=True)
class PatchVerdict:
    """The verdict on one patch.

    Attributes:
        patch: the patch.
        state: the verdict.
        hunks: the verdicts on its hunks, in order.
        needs: patches that do not apply, and add lines that this one expects.
    """

    patch: Patch
    state: PatchState
    hunks: tuple[HunkVerdict, ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class RevisionVerdict:
    """The verdict on the series at one revision.

    Attributes:
        revision: the name of the revision.
        commit: its commit id.
        patches: the verdicts on the patches, in order.
    """

    revision: str
    commit: str
    patches: tuple[PatchVerdict, ...]

    @property
    def missing(self) -> set[str]:
        """The patched files that do not exist at the revision."""
        hunks = (hunk for patch in self.patches for hunk in patch.hunks)
        return {hunk.path for hunk in hunks if hunk.state.is_missing_file}
