"""The series against any revision of upstream: what still fits, hunk by hunk, and why not.

Patches are judged in order, each on top of those that applied; one that does not apply is left
out and the rest still tried. The verdicts follow the rules of ``git apply``, with one exception:
a hunk that would move although its context stands in several places is taken for a conflict.
"""

from __future__ import annotations

import contextlib
import difflib
import enum
import re
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.patching.blobs import Blobs, blob_id
from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.hunks import already_applied, apply_fits, fit
from mfn_patcher.patching.unified import ABSENT
from mfn_patcher.patching.upstream import (
    FetchError,
    fetch_blobs,
    fetch_history,
    fetch_revision,
    pattern,
)
from mfn_patcher.patching.worktree import FILE, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mfn_patcher.patching.hunks import Fit
    from mfn_patcher.patching.series import Patch, Series
    from mfn_patcher.patching.unified import FilePatch, Hunk

_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

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
class Commit:
    """A commit of upstream as it is named to people; `date` is YYYY-MM-DD."""

    id: str
    date: str
    subject: str

    def __str__(self) -> str:
        return f"{self.id[:12]} ({self.date}): {self.subject}"


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
        blocked_by: for a new file, what stands at its path: a file in it, or one that it is in.
        moved_to: where the file went.
        similarity: of the file there to what the patches before leave of it, from 0 to 1.
        removed_by: the commit that took a missing file from its place, where it is known.
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

    @property
    def missing(self) -> set[str]:
        """The files that patches change and that are not in their place."""
        states = (HunkState.FILE_GONE, HunkState.FILE_MOVED)
        hunks = (hunk for patch in self.patches for hunk in patch.hunks)
        return {hunk.path for hunk in hunks if hunk.state in states}


class Tree:
    """The files of one commit by their blobs, with what the patches made of them so far.

    Args:
        commit: its id.
        blobs: where contents are read from.
        files: the blobs of the patched files, where they are known, and "" for what is a link or
            a submodule; else they are asked for.
    """

    def __init__(self, commit: str, blobs: Blobs, files: Mapping[str, str] | None = None) -> None:
        self.commit = commit
        self._contents = blobs
        shown = files if files is not None else self._files_and_others()
        self.files = {path: blob for path, blob in shown.items() if blob}
        self._others = shown.keys() - self.files.keys()
        self._removed: set[str] = set()

    @cached_property
    def everything(self) -> dict[str, tuple[str, str]]:
        """Mode and blob of all that upstream has in the commit: files, links and submodules."""
        return self._contents.repository.entries(self.commit)

    @cached_property
    def everywhere(self) -> dict[str, str]:
        """The blobs of all files that upstream has in the commit."""
        return {path: blob for path, blob in self._files_and_others().items() if blob}

    def _files_and_others(self) -> dict[str, str]:
        entries = self.everything.items()
        return {path: blob if mode in (FILE, PROGRAM) else "" for path, (mode, blob) in entries}

    def in_the_way(self, path: str) -> str:
        """Return what keeps `path` from being a file: a file below or above it, or a link there."""
        if path in self._others:
            return path
        below = next((there for there in self.files if there.startswith(f"{path}/")), "")
        if below:
            return below
        folder = path.rpartition("/")[0]
        while folder and not any(there.startswith(f"{folder}/") for there in self.files):
            if folder in self.files or folder in self.everything.keys() - self._removed:
                return folder
            folder = folder.rpartition("/")[0]
        return ""

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None where there is none."""
        return self._contents.read(self.files[path]) if path in self.files else None

    def write(self, path: str, content: bytes | None) -> None:
        """Change a file; None takes it away."""
        self._put(path, None if content is None else self._contents.add(content))

    def restore(self, before: Mapping[str, str | None]) -> None:
        """Give files the blobs that they had; None is no file."""
        for path, blob in before.items():
            self._put(path, blob)

    def _put(self, path: str, blob: str | None) -> None:
        if blob is None:
            self.files.pop(path, None)
            self._removed.add(path)
        else:
            self.files[path] = blob
            self._removed.discard(path)


class Judge:
    """Judges a series at one commit after another; what it has seen it does not judge again.

    Args:
        patches: the series, in order.
        blobs: where contents are read from.
        pin: the pin's commit, to tell where a file went that is no longer in its place.
    """

    def __init__(self, patches: Sequence[Patch], blobs: Blobs, pin: str) -> None:
        self._patches = patches
        self._blobs = blobs
        self._pin = pin
        self._seen: dict[object, tuple[list[HunkVerdict], bytes | None]] = {}
        self._expected: dict[tuple[str, str], bytes | None] = {}

    def judge(self, revision: str, tree: Tree, *, exact: bool = False) -> RevisionVerdict:
        """Judge the series at the commit of `tree`.

        Args:
            revision: what to call the commit.
            tree: changed as the patches that apply change it.
            exact: also want the blob ids that the patches name, as on the pin.
        """
        failed: list[Patch] = []
        verdicts = []
        for patch in self._patches:
            hunks: list[HunkVerdict] = []
            before = {path: tree.files.get(path) for path in patch.paths}
            for file in patch.files:
                new = file.source_blob == ABSENT and file.path not in tree.files
                blocked_by = tree.in_the_way(file.path) if new else ""
                key = patch.name, file.line, tree.files.get(file.path), blocked_by, exact
                if key not in self._seen:
                    self._seen[key] = self._judge_file(patch, file, tree, blocked_by, exact=exact)
                found, content = self._seen[key]
                # A later diff of the file is judged on top of this one.
                tree.write(file.path, content)
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
        """Return the verdicts on a file's hunks, and what is left of it where they fit."""
        content = tree.read(file.path)
        new, removed = file.source_blob == ABSENT, file.target_blob == ABSENT
        if new and (content is not None or blocked_by):
            return _judge_taken(file, content, blocked_by), content
        if content is None and not new:
            return self._judge_absence(patch, file, tree), None
        content = content or b""
        fits = fit(content, file.hunks)
        after = apply_fits(content, fits)
        named = ABSENT if new else blob_id(content), ABSENT if removed else blob_id(after)
        wrong = exact and named != (file.source_blob, file.target_blob)
        wrong = wrong or bool(removed and after)
        verdicts = [_judge_hunk(file.path, entry, content, wrong=wrong) for entry in fits]
        return verdicts, None if removed else after

    def _judge_absence(self, patch: Patch, file: FilePatch, tree: Tree) -> list[HunkVerdict]:
        gone = [HunkVerdict(file.path, hunk, HunkState.FILE_GONE) for hunk in file.hunks]
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
        """Return the file as the patch finds it on the pin, after the patches before it."""
        if not self._expected:
            pin = Tree(self._pin, self._blobs)
            for other in self._patches:
                for changed in other.files:
                    content = pin.read(changed.path)
                    self._expected.setdefault((other.name, changed.path), content)
                    after = apply_fits(content or b"", fit(content or b"", changed.hunks))
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
        # The text fits, but the file is not the one that the patch was made for.
        state = HunkState.CONFLICT
    # Nothing stands there, at the end of a file: an empty line, for that is how it looks.
    found = (entry.found or (b"",)) if entry.found is not None else ()
    return HunkVerdict(path, entry.hunk, state, entry.line, entry.offset, found)


def _judge_taken(file: FilePatch, content: bytes | None, blocked_by: str) -> list[HunkVerdict]:
    """Return the verdicts on a new file whose place is taken."""
    same = content == b"".join(line for hunk in file.hunks for line in hunk.target)
    state = HunkState.ALREADY_APPLIED if same else HunkState.CONFLICT
    found = tuple((content or b"").splitlines(True)[:10])
    return [
        HunkVerdict(file.path, hunk, state, 1, found=found, blocked_by=blocked_by)
        for hunk in file.hunks
    ]


def _similarity(a: bytes, b: bytes, *, above: float) -> float:
    """Return how alike two files are, from 0 to 1; 0 if that is less than `above`."""
    matcher = difflib.SequenceMatcher(None, a.split(b"\n"), b.split(b"\n"), autojunk=False)
    # Both are upper bounds, and cost far less.
    if min(matcher.real_quick_ratio(), matcher.quick_ratio()) < above:
        return 0
    ratio = matcher.ratio()
    return ratio if ratio >= above else 0


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


@dataclass(frozen=True)
class Change:
    """A commit of upstream at which the verdict on a patch became another."""

    commit: Commit
    verdict: PatchVerdict


@dataclass(frozen=True)
class History:
    """How the verdicts went from one revision of upstream to another.

    Attributes:
        first, last: the verdicts at both ends.
        commits: how many commits between them touch a patched file.
        changes: by the name of a patch, the commits at which its verdict changed, in order.
    """

    first: RevisionVerdict
    last: RevisionVerdict
    commits: int
    changes: Mapping[str, tuple[Change, ...]]


def check(
    series: Series,
    address: str,
    revisions: Sequence[str],
    report: Callable[[str], None],
    *,
    history: tuple[str, str] | None = None,
) -> tuple[list[RevisionVerdict], History | None]:
    """Judge a series at its pin, at other revisions, or along upstream's history.

    No work tree is touched, and only blobs of patched files are fetched. Where files are not in
    their place, the commits that took them are looked up, in a history fetched without blobs.

    Args:
        series: all of it is judged.
        address: where upstream is.
        revisions: names as `fetch_revision` takes them; none, and no history either, is the pin,
            judged to the byte.
        report: called with a line when something slow begins.
        history: judge every commit from the first to the second that touches a patched file.

    Returns:
        The verdicts at `revisions`, and the walk along `history`.

    Raises:
        FetchError: a revision could not be had, which says nothing about the patches.
    """
    with _repository() as snapshots, _repository() as whole:
        verdicts = []
        if revisions or not history:
            verdicts = _check_revisions(snapshots, series, address, revisions, report)
        walked = None
        if history:
            report(f"fetching the history of {history[1]} from {address}")
            start, end, pin = fetch_history(whole, address, (*history, series.pin))
            fetch = partial(fetch_blobs, whole)
            ends = {"first": (history[0], start), "last": (history[1], end)}
            walked = walk(whole, series.patches, pin, **ends, fetch=fetch)
        incomplete = [verdict for verdict in verdicts if verdict.missing]
        if incomplete:
            if not history:
                report(f"fetching the history from {address}, to name who took files away")
            try:
                fetch_history(whole, address, [verdict.commit for verdict in incomplete])
            except FetchError as error:
                report(f"who took files away cannot be named: {error}")
            else:
                verdicts = [name_removals(whole, verdict) for verdict in verdicts]
        return verdicts, walked


def _check_revisions(
    repository: Repository,
    series: Series,
    address: str,
    revisions: Sequence[str],
    report: Callable[[str], None],
) -> list[RevisionVerdict]:
    paths = tuple(sorted({pattern(path) for patch in series.patches for path in patch.paths}))
    report(f"fetching {series.pin[:12]} from {address}")
    fetch_revision(repository, address, series.pin, paths)
    blobs = Blobs(repository, partial(fetch_blobs, repository))
    judge = Judge(series.patches, blobs, series.pin)
    if not revisions:
        return [judge.judge("pin", Tree(series.pin, blobs), exact=True)]
    verdicts = []
    for revision in revisions:
        report(f"fetching {revision} from {address}")
        commit = fetch_revision(repository, address, revision, paths)
        verdicts.append(judge.judge(revision, Tree(commit, blobs)))
    return verdicts


def name_removals(repository: Repository, verdict: RevisionVerdict) -> RevisionVerdict:
    """Return `verdict` with the commits that took missing files from their places.

    Args:
        repository: with the commits and trees up to the verdict's; no blob is read.
        verdict: of a revision at which some file may be missing.
    """
    # A merge is shown only where the file is in all its parents: else a parent's side took it.
    how = ("-1", "-c", "--raw", "--no-renames", "--diff-filter=D", f"--format={_FORMAT}")
    removals = {
        path: _commit(found.partition("\n")[0])
        for path in sorted(verdict.missing)
        if (found := repository.out("log", *how, verdict.commit, "--", path))
    }
    patches = (
        replace(patch, hunks=tuple(_removed_by(hunk, removals) for hunk in patch.hunks))
        for patch in verdict.patches
    )
    return replace(verdict, patches=tuple(patches))


def _removed_by(hunk: HunkVerdict, removals: Mapping[str, Commit]) -> HunkVerdict:
    return replace(hunk, removed_by=removals[hunk.path]) if hunk.path in removals else hunk


def walk(
    repository: Repository,
    patches: Sequence[Patch],
    pin: str,
    *,
    first: tuple[str, str],
    last: tuple[str, str],
    fetch: Callable[[set[str]], None] = lambda _: None,
) -> History:
    """Judge `patches` along the history that `repository` holds.

    Args:
        repository: with the commits and trees.
        patches: in order.
        pin: the commit that they are made for.
        first: name and commit id of the beginning.
        last: the same of the end.
        fetch: called with the ids of all blobs that will be read.
    """
    paths = sorted({path for patch in patches for path in patch.paths})
    steps = _touching(repository, first[1], last[1], paths)
    commits = [first[1], *(step.commit.id for step in steps), last[1], pin]
    files = _files(repository, commits, paths)
    blobs = Blobs(repository, fetch)
    wanted = {blob for found in files.values() for blob in found.values() if blob}
    blobs.load(wanted)
    judge = Judge(patches, blobs, pin)
    start = judge.judge(first[0], Tree(first[1], blobs, files[first[1]]))
    verdicts: dict[str, RevisionVerdict] = {}
    changes: dict[str, tuple[Change, ...]] = {patch.name: () for patch in patches}
    for step in steps:
        commit = step.commit
        now = judge.judge(commit.id, Tree(commit.id, blobs, files[commit.id]))
        # Branches run side by side: what a merge only brings together is no change by it.
        parents = [verdicts.get(parent, start) for parent in step.parents] or [start]
        for number, verdict in enumerate(now.patches):
            if all(parent.patches[number].state is not verdict.state for parent in parents):
                name = verdict.patch.name
                changes[name] = (*changes[name], Change(commit, verdict))
        verdicts[commit.id] = now
    # Judged by itself: what keeps a new file from being added may touch no patched file.
    end = name_removals(repository, judge.judge(last[0], Tree(last[1], blobs, files[last[1]])))
    return History(name_removals(repository, start), end, len(steps), changes)


@dataclass(frozen=True)
class _Step:
    commit: Commit
    parents: tuple[str, ...]


_FORMAT = "%H%x09%cs%x09%s"


def _commit(line: str) -> Commit:
    """Parse a line of `_FORMAT`; a subject that is not UTF-8 must not spoil what is printed."""
    commit, date, subject = line.split("\t", 2)
    subject = subject.encode(errors="surrogateescape").decode(errors="replace")
    return Commit(commit, date, subject)


def _touching(repository: Repository, first: str, last: str, paths: Sequence[str]) -> list[_Step]:
    """Return the commits that touch `paths`, parents first; their parents are such as well."""
    how = ("--reverse", "--topo-order", "--parents", f"--format=%P%x09{_FORMAT}")
    out = repository.out("log", *how, f"{first}..{last}", "--", *paths)
    rows = (line.partition("\t") for line in out.split("\n") if line)
    return [_Step(_commit(commit), tuple(parents.split())) for parents, _, commit in rows]


def _files(
    repository: Repository, commits: Sequence[str], paths: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return the blobs of `paths` at each of `commits`, "" for links; only trees are read."""
    listing = repository.out("log", "--no-walk=unsorted", "--format=%H %T", *commits)
    trees = dict(line.split() for line in listing.splitlines())
    pairs = "".join(f"{_EMPTY_TREE} {tree}\n" for tree in set(trees.values()))
    compare = ("diff-tree", "--stdin", "-r", "-z", "--no-abbrev", "--", *paths)
    out = repository.run(*compare, stdin=pairs.encode()).stdout.decode(errors="surrogateescape")
    found: dict[str, dict[str, str]] = {tree: {} for tree in trees.values()}
    tree = ""
    fields = iter(re.split("[\0\n]", out))
    for field in fields:
        if field.startswith(":"):
            path, (_, mode, _, blob, _) = next(fields), field.split()
            found[tree][path] = blob if mode in (FILE, PROGRAM) else ""
        elif field:
            tree = field.split()[1]
    return {commit: found[tree] for commit, tree in trees.items()}


@contextlib.contextmanager
def _repository() -> Iterator[Repository]:
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        repository = Repository(Path(folder, "upstream"))
        repository.init()
        yield repository
