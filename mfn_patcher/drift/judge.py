"""Judging a series at a commit of upstream, hunk by hunk.

Patches are judged in order, each on top of those that apply; one that does not apply is left out.
The verdicts follow the rules of ``git apply``, with one exception: a hunk that would move although
its context is in several places is a conflict.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from mfn_patcher.drift.tree import Tree
from mfn_patcher.drift.verdicts import (
    HunkState,
    HunkVerdict,
    PatchState,
    PatchVerdict,
    RevisionVerdict,
)
from mfn_patcher.patching.binary import BinaryPatchError
from mfn_patcher.patching.hunks import already_applied, apply_fits, fit
from mfn_patcher.patching.objects import Blobs, blob_id
from mfn_patcher.patching.unified import ABSENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfn_patcher.patching.hunks import Fit
    from mfn_patcher.patching.patchfile import Patch
    from mfn_patcher.patching.unified import FilePatch

# Less similar files of the same name have nothing to do with each other.
_SIMILAR = 0.5


class Judge:
    """Judges a series at one commit after another, and remembers verdicts on equal files.

    Args:
        patches: the series, in order.
        blobs: reads contents.
        pin: the pin, for the pre-images of files that have moved.
    """

    def __init__(self, patches: Sequence[Patch], blobs: Blobs, pin: str) -> None:
        self._patches = patches
        self._blobs = blobs
        self._pin = pin
        self._seen: dict[object, tuple[list[HunkVerdict], bytes | None]] = {}
        self._expected: dict[tuple[str, str], bytes | None] = {}

    def judge(self, revision: str, tree: Tree, *, exact: bool = False) -> RevisionVerdict:
        """Judge the series at a commit.

        Args:
            revision: the name of the commit.
            tree: its files, to which the patches that apply are applied.
            exact: also require the blob ids that the patches name, as at the pin.
        """
        failed: list[Patch] = []
        verdicts = []
        for patch in self._patches:
            hunks: list[HunkVerdict] = []
            before = tree.snapshot(patch.paths)
            for file in patch.files:
                new = file.source_blob == ABSENT and file.path not in tree.files
                blocked_by = tree.in_the_way(file.path) if new else ""
                mode = tree.mode(file.path) if file.only_mode and file.path in tree.files else ""
                key = patch.name, file.line, tree.files.get(file.path), blocked_by, exact, mode
                if key not in self._seen:
                    self._seen[key] = self._judge_file(patch, file, tree, blocked_by, exact=exact)
                found, content = self._seen[key]
                # A later diff of the file builds on this one.
                tree.write(file.path, content, file.mode)
                hunks += found
            verdict = PatchVerdict(patch, _summarise(hunks), tuple(hunks))
            fits = verdict.state.rank <= PatchState.OFFSET.rank
            if not fits:
                tree.restore(before)
            if not fits and verdict.state is not PatchState.MERGED:
                if verdict.state is PatchState.CONFLICT:
                    needs = tuple(other.name for other in failed if _expects(patch, other))
                    verdict = replace(verdict, needs=needs)
                failed.append(patch)
            verdicts.append(verdict)
        return RevisionVerdict(revision, tree.commit, tuple(verdicts))

    def _judge_file(
        self, patch: Patch, file: FilePatch, tree: Tree, blocked_by: str, *, exact: bool
    ) -> tuple[list[HunkVerdict], bytes | None]:
        """Return the verdicts on a file's hunks, and the file with those applied that fit."""
        content = tree.read(file.path)
        new, removed = file.source_blob == ABSENT, file.target_blob == ABSENT
        if new and (content is not None or blocked_by):
            return _judge_existing(file, content, blocked_by), content
        if content is None and not new:
            return self._judge_absence(patch, file, tree), None
        content = content or b""
        if not file.hunks:
            return _judge_whole(file, content, tree)
        fits = fit(content, file.hunks)
        after = apply_fits(content, fits)
        named = ABSENT if new else blob_id(content), ABSENT if removed else blob_id(after)
        wrong = exact and named != (file.source_blob, file.target_blob)
        wrong = wrong or bool(removed and after)
        verdicts = [_judge_hunk(file.path, entry, content, wrong=wrong) for entry in fits]
        return verdicts, None if removed else after

    def _judge_absence(self, patch: Patch, file: FilePatch, tree: Tree) -> list[HunkVerdict]:
        gone = [HunkVerdict(file.path, hunk, HunkState.FILE_GONE) for hunk in file.parts]
        old = self._expects_to_find(patch, file)
        name = file.path.rpartition("/")[2]
        places = tree.everywhere.items() if old is not None else ()
        found = {path: blob for path, blob in places if path.rpartition("/")[2] == name}
        self._blobs.load(found.values())
        best, most = "", 0.0
        for path, blob in found.items():
            alike = _similarity(old or b"", self._blobs.read(blob), above=max(most, _SIMILAR))
            if alike > most:
                best, most = path, alike
        if not best:
            if file.target_blob != ABSENT:
                return gone
            return [replace(verdict, state=HunkState.ALREADY_APPLIED) for verdict in gone]
        return [
            replace(verdict, state=HunkState.FILE_MOVED, moved_to=best, similarity=most)
            for verdict in gone
        ]

    def _expects_to_find(self, patch: Patch, file: FilePatch) -> bytes | None:
        """Return the pre-image of a file at the pin, with earlier patches applied."""
        if not self._expected:
            pin = Tree(self._pin, self._blobs)
            for other in self._patches:
                for changed in other.files:
                    content = pin.read(changed.path)
                    self._expected.setdefault((other.name, changed.path), content)
                    after = _after(changed, content or b"")
                    pin.write(changed.path, after if changed.target_blob != ABSENT else None)
        return self._expected[patch.name, file.path]


def _judge_hunk(path: str, entry: Fit, content: bytes, *, wrong: bool) -> HunkVerdict:
    state = HunkState.OFFSET if entry.offset else HunkState.EXACT
    if entry.ambiguous:
        state = HunkState.AMBIGUOUS
    elif entry.found is not None:
        line = already_applied(content, entry.hunk)
        if line:
            return HunkVerdict(path, entry.hunk, HunkState.ALREADY_APPLIED, line)
        state = HunkState.CONFLICT
    elif wrong:
        # The hunk fits, but the patch was made for another version of the file.
        state = HunkState.CONFLICT
    # Nothing is found at the end of a file, which is shown as an empty line.
    found = (entry.found or (b"",)) if entry.found is not None else ()
    return HunkVerdict(path, entry.hunk, state, entry.line, entry.offset, found)


def _judge_whole(
    file: FilePatch, content: bytes, tree: Tree
) -> tuple[list[HunkVerdict], bytes | None]:
    """Judge a change without hunks: of a mode, or of a binary or empty file."""
    after: str | None
    if file.only_mode:
        now, after, result = tree.mode(file.path), file.mode, content
        fits = now == file.old_mode
    else:
        now, after, result = tree.files.get(file.path, ABSENT), file.target_blob, content
        if fits := now == file.source_blob:
            result = _after(file, content)
            fits = after in (ABSENT, blob_id(result))
    state = HunkState.EXACT if fits else HunkState.CONFLICT
    if now == after:
        state = HunkState.ALREADY_APPLIED
    return [HunkVerdict(file.path, file.parts[0], state)], None if after == ABSENT else result


def _after(file: FilePatch, content: bytes) -> bytes:
    """Return what a patch makes of a file; unchanged if it is damaged or for another file."""
    if not file.binary:
        return apply_fits(content, fit(content, file.hunks))
    with contextlib.suppress(BinaryPatchError):
        return file.binary.apply(content)
    return content


def _judge_existing(file: FilePatch, content: bytes | None, blocked_by: str) -> list[HunkVerdict]:
    """Return the verdicts on a new file that already exists or is blocked."""
    if content is not None and blob_id(content) == file.target_blob:
        return [HunkVerdict(file.path, part, HunkState.ALREADY_APPLIED, 1) for part in file.parts]
    by = blocked_by or file.path
    return [
        HunkVerdict(file.path, part, HunkState.CONFLICT, 1, blocked_by=by) for part in file.parts
    ]


def _similarity(a: bytes, b: bytes, *, above: float) -> float:
    """Return the share of lines that two files have in common, from 0 to 1; 0 below `above`.

    As for git, the order of the lines does not matter. A comparison in order would take a time that
    grows with the square of the number of equal lines, such as those of tables.
    """
    ours, theirs = Counter(a.split(b"\n")), Counter(b.split(b"\n"))
    ratio = 2 * (ours & theirs).total() / (ours.total() + theirs.total())
    return ratio if ratio >= above else 0


def _summarise(hunks: Sequence[HunkVerdict]) -> PatchState:
    states = {verdict.state for verdict in hunks}
    if any(state.is_missing_file for state in states):
        return PatchState.GONE
    if states == {HunkState.ALREADY_APPLIED}:
        return PatchState.MERGED
    # A patch that upstream already has in part does not apply as a whole.
    if states & {HunkState.CONFLICT, HunkState.AMBIGUOUS, HunkState.ALREADY_APPLIED}:
        return PatchState.CONFLICT
    return PatchState.OFFSET if HunkState.OFFSET in states else PatchState.CLEAN


def _expects(patch: Patch, other: Patch) -> bool:
    """Return whether `patch` expects a line that `other` adds."""
    for file in patch.files:
        for hunk in (
            hunk
            for other_file in other.files
            for hunk in other_file.hunks
            if other_file.path == file.path
        ):
            added = set(hunk.target) - set(hunk.source)
            if any(added & set(mine.source) for mine in file.hunks):
                return True
    return False
