"""Random patches on random revisions give the verdicts and results of ``git apply``.

The only difference is documented: a hunk that would move, and whose context stands in several
places, is a conflict here. MFN_PATCH_RANDOM_PATCHES says how many patches are tried, and
MFN_PATCH_RANDOM_SEED which::

    MFN_PATCH_RANDOM_PATCHES=1500 pytest -s tests/patching/test_against_git.py
"""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest

from mfn_patcher.drift.judge import Judge
from mfn_patcher.drift.tree import Tree
from mfn_patcher.drift.verdicts import HunkState, PatchState
from mfn_patcher.patching import unified
from mfn_patcher.patching.crosscheck import disagreement
from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.objects import Blobs
from mfn_patcher.patching.patchfile import Header, Patch
from tests.support.repositories import git

pytestmark = pytest.mark.long

COUNT = int(os.environ.get("MFN_PATCH_RANDOM_PATCHES", "120"))
SEED = int(os.environ.get("MFN_PATCH_RANDOM_SEED", "1"))

HEADER = Header("A", "a@b", datetime(2026, 11, 24, tzinfo=timezone.utc), "It", "")
PATHS = ("a", "b", "d/e", "d/f/g")
Files = dict[str, bytes]

# Few lines, so that contexts often stand in several places, or many, so that they rarely do.
WORDS = ((b"x", b"y", b"", b"}"), tuple(b"line %d" % number for number in range(400)))


class Maker:
    """Makes revisions of a few files, and patches between them.

    Args:
        chance: what decides.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def files(self) -> Files:
        """Return files of several lengths, some without a line break at the end."""
        made = {}
        for path in self._chance.sample(PATHS, self._chance.randint(1, 3)):
            words = self._chance.choice(WORDS)
            start = self._chance.randrange(100)
            length = self._chance.choice((0, 1, 2, 5, 12, 30, 60, 60))
            if len(words) > 10:
                lines = list(words[start : start + length])
            else:
                lines = self._chance.choices(words, k=length)
            made[path] = self._joined(lines, ends=self._chance.random() < 0.8)
        return made

    def edited(self, files: Files, changes: int, *, whole: float = 0.05) -> Files:
        """Return `files` with up to so many changes, many of them 6 to 9 lines apart.

        Args:
            files: contents by path; not changed.
            changes: the most of them in a file.
            whole: how likely a file appears or goes.
        """
        edited = dict(files)
        for path, content in files.items():
            if self._chance.random() < whole:
                del edited[path]
            elif self._chance.random() < 0.15:
                edited[path] = self._ended(content)
            elif self._chance.random() < 0.7:
                edited[path] = self._edited(content, changes)
        if self._chance.random() < whole:
            edited[self._chance.choice((*PATHS, "a/below", "d"))] = b"new\nlines\n"
        return {
            path: content
            for path, content in edited.items()
            if not any(other.startswith(f"{path}/") for other in edited)
        }

    def _edited(self, content: bytes, changes: int) -> bytes:
        lines = content.split(b"\n")
        ends = lines[-1] == b""
        lines = lines[:-1] if ends else lines
        place = self._chance.randrange(len(lines) + 1)
        for _ in range(self._chance.randint(1, changes)):
            lines[place : place + self._chance.randint(0, 2)] = self._chance.choices(
                (b"new", b"x", b"y", b"line 50", b"line 9 ", b"crlf\r"),
                k=self._chance.randint(0, 2),
            )
            near = self._chance.random() < 0.7
            step = self._chance.randint(5, 9) if near else self._chance.randrange(40)
            place = (place + step) % (len(lines) + 1)
        made = self._joined(lines, ends=ends)
        return self._ended(made) if self._chance.random() < 0.25 else made

    def _ended(self, content: bytes) -> bytes:
        """Change nothing but the end of a file: its line break, white space, or a line more."""
        without = content.rstrip(b"\n")
        if without == content and self._chance.random() < 0.5:
            return content + b"\n"
        return without + self._chance.choice(
            (b"", b"", b" ", b"\t\n", b"\r\n", b"\nmore", b" more\n")
        )

    @staticmethod
    def _joined(lines: list[bytes], *, ends: bool) -> bytes:
        return b"\n".join(lines) + (b"\n" if ends and lines else b"")


@dataclass(frozen=True)
class Case:
    """A patch, made of one diff or of two after one another, and a revision to try it on."""

    steps: tuple[Files, ...]
    revision: Files
    context: int


def make_case(seed: int) -> Case:
    chance = random.Random(seed)
    maker = Maker(chance)
    steps = [maker.files()]
    for _ in range(chance.choice((1, 1, 2))):
        steps.append(maker.edited(steps[-1], 4))
    # Now and then, the revision has some of the patch already.
    start = steps[0] if chance.random() < 0.85 else chance.choice(steps)
    revision = maker.edited(start, chance.choice((1, 1, 1, 3)), whole=0.02)
    return Case(tuple(steps), revision, chance.choice((3, 3, 3, 3, 2, 1)))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.init()
    return repository


def test_verdicts_and_results(repository: Repository) -> None:
    comparison = Comparison(repository)
    number = 0
    while comparison.count < COUNT:
        cases = [make_case(SEED * 1_000_000 + number + more) for more in range(100)]
        revisions = [files for case in cases for files in (*case.steps, case.revision)]
        commits = iter(write(repository, revisions))
        for case in cases:
            steps = [next(commits) for _ in case.steps]
            comparison.compare(case, steps, next(commits), f"seed {SEED}, case {number}")
            number += 1
    print(f"\n{comparison.count} patches: {dict(sorted(comparison.seen.items()))}")
    for kind in ("applies", "conflict", "nearby hunks", "no newline", "several diffs of a file"):
        assert comparison.seen[kind] > COUNT / 20, kind


def write(repository: Repository, revisions: list[Files]) -> list[str]:
    """Write a commit for each of `revisions`, and return their ids."""
    orders = []
    for number, files in enumerate(revisions, 1):
        orders.append(b"commit refs/heads/scratch\nmark :%d\n" % number)
        orders.append(b"committer A <a@b> 0 +0000\ndata 0\ndeleteall\n")
        for path, content in files.items():
            orders.append(b"M 100644 inline %s\n" % path.encode())
            orders.append(b"data %d\n%s\n" % (len(content), content))
    orders.append(b"reset refs/heads/scratch\nfrom %s\n\n" % unified.ABSENT.encode())
    orders += [b"get-mark :%d\n" % number for number in range(1, len(revisions) + 1)]
    stdin = b"".join([*orders, b"done\n"])
    return repository.out("fast-import", "--quiet", "--done", stdin=stdin).split()


class Comparison:
    """Counts what was compared.

    Args:
        repository: with the commits of all cases.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.count = 0
        self.seen: Counter[str] = Counter()

    def compare(self, case: Case, steps: list[str], revision: str, name: str) -> None:
        """Judge the patch of a case on its revision, and let git apply it."""
        how = ("--full-index", "--no-renames", f"--unified={case.context}")
        diffs = [
            self._repository.run("diff", *how, old, new).stdout
            for old, new in itertools.pairwise(steps)
        ]
        diff = b"".join(diffs)
        # Refused: an empty file that comes or goes, and one that is written and removed.
        first, *_, last = case.steps
        removed = case.steps[-2].keys() - last.keys()
        written = {path for path in removed if case.steps[-2][path] != first.get(path)}
        if not diff or re.search(rb"index .*\n(?!--- )", diff) or written:
            return
        files = unified.parse(diff, 1)
        patch = Patch("it/0001-it.patch", Path("it"), HEADER, diff, diff, files)
        assert disagreement(patch) is None, (name, diff.decode())
        blobs = Blobs(self._repository)
        tree = Tree(revision, blobs)
        before = dict(tree.files)
        (verdict,) = Judge([patch], blobs, steps[0]).judge("it", tree).patches
        taken, result = self._apply(revision, diff)
        fits = verdict.state in (PatchState.CLEAN, PatchState.OFFSET)
        ambiguous = any(hunk.state is HunkState.AMBIGUOUS for hunk in verdict.hunks)
        assert fits == taken or (taken and ambiguous), (name, verdict, diff.decode())
        assert tree.files == (result if fits else before), (name, diff.decode())
        self.count += 1
        self.seen["applies" if fits else "ambiguous" if taken else "conflict"] += 1
        self.seen["several diffs of a file"] += len(patch.paths) < len(files)
        self.seen["no newline"] += b"\n\\ No newline" in diff
        self.seen["nearby hunks"] += any(
            0 < b.target_start - a.target_start - len(a.target) < 4
            for file in files
            for a, b in zip(file.hunks, file.hunks[1:])
        )

    def _apply(self, revision: str, diff: bytes) -> tuple[bool, dict[str, str]]:
        """Let git apply a diff to the index; return whether it did, and the blobs then."""
        folder = self._repository.work_tree
        git(folder, "read-tree", revision)
        ran = subprocess.run(
            ["git", "apply", "--cached", "--whitespace=nowarn", "-"],
            cwd=folder,
            input=diff,
            capture_output=True,
            check=False,
        )
        listing = git(folder, "ls-files", "--stage", "-z").decode().split("\0")
        entries = (entry.partition("\t") for entry in listing if entry)
        return ran.returncode == 0, {path: info.split()[1] for info, _, path in entries}
