"""Judging a series along upstream's history."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mfn_patcher.drift.judge import Judge
from mfn_patcher.drift.tree import Tree
from mfn_patcher.drift.verdicts import Commit
from mfn_patcher.patching.objects import Blobs
from mfn_patcher.patching.worktree import FILE, PROGRAM
from mfn_patcher.progress import task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mfn_patcher.drift.verdicts import HunkVerdict, PatchVerdict, RevisionVerdict
    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.patchfile import Patch

_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_FORMAT = "%H%x09%cs%x09%s"  # of `git log`, as `_commit` parses it


@dataclass(frozen=True)
class Change:
    """A commit of upstream that changed the verdict on a patch."""

    commit: Commit
    verdict: PatchVerdict


@dataclass(frozen=True)
class History:
    """The verdicts between two revisions of upstream.

    Attributes:
        first: the verdict at the start.
        last: the verdict at the end.
        commits: the number of commits between them that change a patched file.
        changes: by the name of a patch, the commits that changed its verdict, in order.
    """

    first: RevisionVerdict
    last: RevisionVerdict
    commits: int
    changes: Mapping[str, tuple[Change, ...]]


def name_removals(repository: Repository, verdict: RevisionVerdict) -> RevisionVerdict:
    """Return `verdict` with the commits that removed missing files.

    Args:
        repository: the repository with commits and trees up to the revision; no blob is read.
        verdict: the verdict at the revision.
    """
    # A merge removed the file only if all its parents have it; else it was removed on one side.
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
    """Judge `patches` along the history in `repository`.

    Args:
        repository: the repository with the commits and trees.
        patches: the patches, in order.
        pin: the commit that they are made for.
        first: name and commit id of the start.
        last: name and commit id of the end.
        fetch: fetches the blobs with the given ids into the repository.
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
    with task("judging the history", len(steps)) as judging:
        for step in steps:
            commit = step.commit
            now = judge.judge(commit.id, Tree(commit.id, blobs, files[commit.id]))
            # A verdict changes at a commit only if it differs from the verdicts at all its parents.
            parents = [verdicts.get(parent, start) for parent in step.parents] or [start]
            for number, verdict in enumerate(now.patches):
                if all(parent.patches[number].state is not verdict.state for parent in parents):
                    name = verdict.patch.name
                    changes[name] = (*changes[name], Change(commit, verdict))
            verdicts[commit.id] = now
            judging.advance()
    # The end is judged separately: a commit can block a new file without changing a patched one.
    end = name_removals(repository, judge.judge(last[0], Tree(last[1], blobs, files[last[1]])))
    return History(name_removals(repository, start), end, len(steps), changes)


@dataclass(frozen=True)
class _Step:
    commit: Commit
    parents: tuple[str, ...]


def _commit(line: str) -> Commit:
    """Parse a line of `_FORMAT`, whose subject may not be UTF-8."""
    commit, date, subject = line.split("\t", 2)
    subject = subject.encode(errors="surrogateescape").decode(errors="replace")
    return Commit(commit, date, subject)


def _touching(repository: Repository, first: str, last: str, paths: Sequence[str]) -> list[_Step]:
    """Return the commits that change `paths`, parents first, with parents of the same kind."""
    how = ("--reverse", "--topo-order", "--parents", f"--format=%P%x09{_FORMAT}")
    out = repository.out("log", *how, f"{first}..{last}", "--", *paths)
    rows = (line.partition("\t") for line in out.split("\n") if line)
    return [_Step(_commit(commit), tuple(parents.split())) for parents, _, commit in rows]


def _files(
    repository: Repository, commits: Sequence[str], paths: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return the blobs of `paths` at each of `commits`, "" for links and submodules."""
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
