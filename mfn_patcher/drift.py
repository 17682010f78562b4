"""The series against any revision of upstream: what still fits, hunk by hunk, and why not.

Patches are judged in order, each on top of those that applied; one that does not apply is left
out and the rest still tried. The verdicts follow the rules of ``git apply``, with one exception:
a hunk that would move although its context stands in several places is taken for a conflict.
"""

from __future__ import annotations

import difflib
import enum
import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mfn_patcher.git import Repository
from mfn_patcher.hunks import apply_fits, fit
from mfn_patcher.patches import ABSENT
from mfn_patcher.upstream import fetch_revision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfn_patcher.hunks import Fit
    from mfn_patcher.patches import FilePatch, Hunk, Patch, Series

# Below this two files of a name have nothing to do with each other.
_SIMILAR = 0.5


class HunkState(str, enum.Enum):
    """What became of the place that a hunk changes."""

    EXACT = "exact"
    OFFSET = "offset"
    ALREADY_APPLIED = "already-applied"
    AMBIGUOUS = "ambiguous"
    CONFLICT = "conflict"
    FILE_MOVED = "file-moved"
    FILE_GONE = "file-gone"


class PatchState(str, enum.Enum):
    """What became of a patch, from good to bad."""

    CLEAN = "clean"
    OFFSET = "offset"
    MERGED = "merged"
    CONFLICT = "conflict"
    GONE = "gone"

    @property
    def rank(self) -> int:
        """How bad it is, from 0."""
        return list(PatchState).index(self)


@dataclass(frozen=True)
class HunkVerdict:
    """What became of one hunk.

    Attributes:
        path: the file that the patch names.
        hunk: as the patch has it.
        state: the verdict.
        line: where it fits, or most of it stands; from 1, hunks before it counted as applied.
        offset: how many lines that is from where the patch says.
        found: for a conflict, the lines that stand there.
        moved_to: where the file went.
        similarity: of the file there to what the patches before leave of it, from 0 to 1.
    """

    path: str
    hunk: Hunk
    state: HunkState
    line: int = 0
    offset: int = 0
    found: tuple[bytes, ...] = ()
    moved_to: str = ""
    similarity: float = 0.0


@dataclass(frozen=True)
class PatchVerdict:
    """What became of one patch.

    Attributes:
        patch: which.
        state: the verdict.
        hunks: the verdicts of its hunks, in order.
        needs: patches that do not apply, and whose lines this one expects to find.
    """

    patch: Patch
    state: PatchState
    hunks: tuple[HunkVerdict, ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class RevisionVerdict:
    """What became of the series at one revision."""

    revision: str
    commit: str
    patches: tuple[PatchVerdict, ...]

    @property
    def worst(self) -> PatchState:
        """The worst verdict of a patch."""
        return max((p.state for p in self.patches), key=lambda s: s.rank, default=PatchState.CLEAN)


class Tree:
    """The files of one commit, with what the patches made of them so far."""

    def __init__(self, repository: Repository, commit: str) -> None:
        self._repository = repository
        listing = repository.out("ls-tree", "-r", "-z", "--full-tree", commit)
        entries = (entry.partition("\t") for entry in filter(None, listing.split("\0")))
        self.blobs = {path: information.split()[2] for information, _, path in entries}
        self._contents: dict[str, bytes] = {}

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None where there is none."""
        if path not in self._contents and path in self.blobs:
            blob = self.blobs[path]
            self._contents[path] = self._repository.run("cat-file", "blob", blob).stdout
        return self._contents.get(path)

    def write(self, path: str, content: bytes | None) -> None:
        """Change a file; None takes it away."""
        self.blobs.pop(path, None)
        self._contents.pop(path, None)
        if content is not None:
            self._contents[path] = content
            self.blobs[path] = blob_id(content)


def blob_id(content: bytes) -> str:
    """Return git's id of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def judge(
    repository: Repository,
    revision: str,
    commit: str,
    patches: Sequence[Patch],
    before: Tree | None = None,
    *,
    exact: bool = False,
) -> RevisionVerdict:
    """Judge `patches` at a commit that `repository` holds.

    Args:
        repository: with the commit's trees and the blobs of the patched files.
        revision: what to call the commit.
        commit: its id.
        patches: in order.
        before: the pin, to tell where a file went that is no longer in its place.
        exact: also want the blob ids that the patches name, as on the pin.
    """
    tree = Tree(repository, commit)
    failed: list[Patch] = []
    verdicts = []
    for patch in patches:
        verdict, contents = _judge_patch(patch, tree, before, exact=exact)
        if verdict.state.rank <= PatchState.OFFSET.rank:
            for path, content in contents.items():
                tree.write(path, content)
        elif verdict.state is not PatchState.MERGED:
            if verdict.state is PatchState.CONFLICT:
                needs = tuple(other.name for other in failed if _expects(patch, other))
                verdict = replace(verdict, needs=needs)
            failed.append(patch)
        verdicts.append(verdict)
        if before:
            _advance(before, patch)
    return RevisionVerdict(revision, commit, tuple(verdicts))


def _judge_patch(
    patch: Patch, tree: Tree, before: Tree | None, *, exact: bool
) -> tuple[PatchVerdict, dict[str, bytes | None]]:
    verdicts: list[HunkVerdict] = []
    contents: dict[str, bytes | None] = {}
    for file in patch.files:
        content = tree.read(file.path)
        if file.source_blob == ABSENT:
            verdicts.append(_judge_new_file(file, content))
            contents[file.path] = b"".join(file.hunks[0].target)
        elif content is None:
            verdicts += _judge_absence(file, tree, before)
        else:
            fits = fit(content, file.hunks)
            after = apply_fits(content, fits)
            named = blob_id(content), blob_id(after)
            wrong = exact and named != (file.source_blob, file.target_blob)
            verdicts += [_judge_hunk(file.path, entry, content, wrong=wrong) for entry in fits]
            contents[file.path] = after if file.target_blob != ABSENT else None
    return PatchVerdict(patch, _summarise(verdicts), tuple(verdicts)), contents


def _judge_hunk(path: str, entry: Fit, content: bytes, *, wrong: bool) -> HunkVerdict:
    state = HunkState.OFFSET if entry.offset else HunkState.EXACT
    if entry.ambiguous:
        state = HunkState.AMBIGUOUS
    elif entry.found is not None:
        reverse = replace(entry.hunk, source=entry.hunk.target, target=entry.hunk.source)
        (undone,) = fit(content, [reverse])
        if undone.found is None and not undone.ambiguous:
            return HunkVerdict(path, entry.hunk, HunkState.ALREADY_APPLIED, undone.line)
        state = HunkState.CONFLICT
    elif wrong:
        # The text fits, but the file is not the one that the patch was made for.
        state = HunkState.CONFLICT
    return HunkVerdict(path, entry.hunk, state, entry.line, entry.offset, entry.found or ())


def _judge_new_file(file: FilePatch, content: bytes | None) -> HunkVerdict:
    (hunk,) = file.hunks
    if content is None:
        return HunkVerdict(file.path, hunk, HunkState.EXACT, 1)
    same = content == b"".join(hunk.target)
    state = HunkState.ALREADY_APPLIED if same else HunkState.CONFLICT
    return HunkVerdict(file.path, hunk, state, 1, found=tuple(content.splitlines(True)[:10]))


def _judge_absence(file: FilePatch, tree: Tree, before: Tree | None) -> list[HunkVerdict]:
    gone = [HunkVerdict(file.path, hunk, HunkState.FILE_GONE) for hunk in file.hunks]
    old = before.read(file.path) if before else None
    if old is None:
        return gone
    name = PurePosixPath(file.path).name
    found = [path for path in tree.blobs if PurePosixPath(path).name == name]
    alike = {path: _similarity(old, tree.read(path) or b"") for path in found}
    best = max(alike, key=lambda path: alike[path], default="")
    if not best or alike[best] < _SIMILAR:
        return gone
    return [
        replace(verdict, state=HunkState.FILE_MOVED, moved_to=best, similarity=alike[best])
        for verdict in gone
    ]


def _similarity(a: bytes, b: bytes) -> float:
    return difflib.SequenceMatcher(None, a.split(b"\n"), b.split(b"\n"), autojunk=False).ratio()


def _advance(before: Tree, patch: Patch) -> None:
    """Apply a patch to the pin's files, so that a file that moved is compared as it was then."""
    for file in patch.files:
        content = before.read(file.path)
        if content is not None and file.target_blob != ABSENT:
            before.write(file.path, apply_fits(content, fit(content, file.hunks)))


def _summarise(hunks: Sequence[HunkVerdict]) -> PatchState:
    states = {verdict.state for verdict in hunks}
    if states & {HunkState.FILE_GONE, HunkState.FILE_MOVED}:
        return PatchState.GONE
    if states == {HunkState.ALREADY_APPLIED}:
        return PatchState.MERGED
    # A patch that upstream took in part does not apply as a whole.
    if states & {HunkState.CONFLICT, HunkState.AMBIGUOUS, HunkState.ALREADY_APPLIED}:
        return PatchState.CONFLICT
    return PatchState.OFFSET if HunkState.OFFSET in states else PatchState.CLEAN


def _expects(patch: Patch, other: Patch) -> bool:
    """Return whether `patch` expects a line that only `other` puts there."""
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


def check(
    series: Series, address: str, revisions: Sequence[str], report: Callable[[str], None]
) -> list[RevisionVerdict]:
    """Judge a series at its pin and at other revisions, in a repository made for it.

    No work tree is touched, and only blobs of patched files are fetched.

    Args:
        series: all of it is judged.
        address: where upstream is.
        revisions: names as `fetch_revision` takes them; none is the pin, judged to the byte.
        report: called with a line when something slow begins.

    Raises:
        FetchError: a revision could not be had, which says nothing about the patches.
    """
    paths = tuple(sorted({f"/{path}" for patch in series.patches for path in patch.paths}))
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        repository = Repository(Path(folder, "upstream"))
        repository.init()
        report(f"fetching {series.pin[:12]} from {address}")
        fetch_revision(repository, address, series.pin, paths)
        if not revisions:
            return [judge(repository, "pin", series.pin, series.patches, exact=True)]
        verdicts = []
        for revision in revisions:
            report(f"fetching {revision} from {address}")
            # Blobs of a file's new place are fetched when it is looked at.
            commit = fetch_revision(repository, address, revision, paths)
            before = Tree(repository, series.pin)
            verdicts.append(judge(repository, revision, commit, series.patches, before))
        return verdicts
