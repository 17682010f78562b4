"""What a check found, and the words for it that all formats share."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

from mfn_patcher.drift.judge import HunkState, PatchState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mfn_patcher.drift.judge import Change, History, HunkVerdict, PatchVerdict, RevisionVerdict
    from mfn_patcher.patching.series import Problem

LINT = "lint"

_WITHOUT_FILE = (HunkState.FILE_GONE, HunkState.FILE_MOVED)


class Level(str, enum.Enum):
    """How much a finding matters; the names are those of SARIF."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """A hunk that does not fit as the patch has it, a file that is gone, or a problem of a file.

    Attributes:
        file: the project's file that it is about, as the reader names it.
        line: the line of that file, from 1; 0 is the whole file.
        rule: the verdict on a hunk, or `LINT`.
        level: an error where it is drift.
        text: what is the matter, in a line.
        subject: what it is about, whatever has become of that: the hunk, or the problem.
        differences: expected and found lines where they differ.
    """

    file: str
    line: int
    rule: str
    level: Level
    text: str
    subject: str
    differences: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> str:
        """The file and, where there is one, its line."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        root: the project that was checked.
        base: the folder that the reader sees paths from.
        allowed: the worst verdict on a patch that is no drift.
        problems: what lint found wrong; upstream was not asked then.
        verdicts: those at the revisions asked for.
        history: the walk, if one was asked for.
    """

    root: Path
    base: Path
    allowed: PatchState
    problems: Sequence[Problem] = ()
    verdicts: Sequence[RevisionVerdict] = ()
    history: History | None = None

    @property
    def revisions(self) -> list[RevisionVerdict]:
        """The verdicts at all revisions to report, the end of the history among them, once."""
        if not self.history or any(v.commit == self.history.last.commit for v in self.verdicts):
            return [*self.verdicts]
        return [*self.verdicts, self.history.last]

    @property
    def drifted(self) -> bool:
        """Whether anything is worse than allowed."""
        return any(self.drifts(patch) for verdict in self.revisions for patch in verdict.patches)

    def drifts(self, patch: PatchVerdict) -> bool:
        """Return whether a patch is worse than allowed."""
        return patch.state.rank > self.allowed.rank

    def count(self, verdict: RevisionVerdict) -> str:
        """Say how many patches drift at a revision."""
        drifting = sum(self.drifts(patch) for patch in verdict.patches)
        return f"{drifting} of {len(verdict.patches)} patches drift at {title_of(verdict)}."

    def findings(self, patch: PatchVerdict) -> list[Finding]:
        """Return what there is to tell about a patch, hunk by hunk."""
        groups = groupby(
            (hunk for hunk in patch.hunks if hunk.state is not HunkState.EXACT),
            # A file that is not there is one thing to tell, not one a hunk.
            key=lambda hunk: (hunk.path, hunk.state in _WITHOUT_FILE or hunk.hunk.line),
        )
        return [self._finding(patch, list(hunks)) for _, hunks in groups]

    def since(self, verdict: RevisionVerdict, patch: PatchVerdict) -> Change | None:
        """Return the commit of the history that gave a patch its verdict, if it is known."""
        if not self.history or verdict.commit != self.history.last.commit:
            return None
        return next(reversed(self.history.changes[patch.patch.name]), None)

    def remarks(self, verdict: RevisionVerdict, patch: PatchVerdict) -> list[str]:
        """Return what there is to tell about a patch as a whole, a line each."""
        change = self.since(verdict, patch)
        # What the findings say of a file that is gone need not be said again.
        told = {hunk.removed_by for hunk in patch.hunks}
        since = change and change.commit not in told and f"since {change.commit}"
        return [*needs(patch), *([f"{patch.state.value} {since}"] if since else [])]

    def problem(self, problem: Problem) -> Finding:
        """Return a problem that lint found as a finding."""
        file, text = self._shown(problem.path), problem.message
        return Finding(file, problem.line, LINT, Level.ERROR, text, text)

    def _shown(self, path: Path) -> str:
        """Return how the reader names a file of the project."""
        seen_from = self.base if path.resolve().is_relative_to(self.base.resolve()) else self.root
        return path.resolve().relative_to(seen_from.resolve()).as_posix()

    def _finding(self, patch: PatchVerdict, hunks: list[HunkVerdict]) -> Finding:
        first = hunks[0]
        # A hunk that fits elsewhere is not what is wrong with a patch that conflicts.
        state = PatchState.OFFSET if first.state is HunkState.OFFSET else patch.state
        level = Level.WARNING if state is PatchState.MERGED else Level.NOTE
        if state.rank > self.allowed.rank:
            level = Level.ERROR
        return Finding(
            self._shown(patch.patch.path),
            first.hunk.line,
            first.state.value,
            level,
            _describe(hunks),
            f"{first.path}:{first.hunk.number}",
            tuple(_differences(first)) if first.found else (),
        )


def title_of(verdict: RevisionVerdict) -> str:
    """Name a revision as it was asked for, and its commit."""
    commit = verdict.commit[:12]
    return commit if verdict.revision == verdict.commit else f"{verdict.revision}, {commit}"


def needs(patch: PatchVerdict) -> list[str]:
    """Say which patches that do not apply this one builds on; at most one line."""
    return [f"builds on {', '.join(patch.needs)}, which does not apply"] if patch.needs else []


def describe_history(history: History) -> list[str]:
    """Say when each patch's verdict changed; the last change is the one it is in now."""
    lines = [
        f"{history.commits} commits from {history.first.commit[:12]} to "
        f"{history.last.commit[:12]} touch patched files."
    ]
    for patch in history.last.patches:
        changes = history.changes[patch.patch.name]
        if not changes:
            lines.append(f"{patch.patch.name}: {patch.state.value} all along")
        for change in changes:
            state = change.verdict.state.value
            lines.append(f"{patch.patch.name}: {state} since {change.commit}")
    return lines


def text_of(lines: Sequence[bytes]) -> list[str]:
    """Return lines of upstream as text, without their ends."""
    return [line.decode(errors="replace").rstrip("\r\n") for line in lines]


def _describe(hunks: Sequence[HunkVerdict]) -> str:
    """Say what became of a hunk, or of all hunks of a file that is not there, in a line."""
    hunk = hunks[0]
    numbers = f"hunks {hunk.hunk.number} to {hunks[-1].hunk.number}"
    place = f"{hunk.path}: {numbers if len(hunks) > 1 else f'hunk {hunk.hunk.number}'}"
    state = hunk.state.value
    since = f" since {hunk.removed_by}" if hunk.removed_by else ""
    if hunk.moved_to:
        alike = f"{hunk.similarity:.0%} alike"
        return f"{place}: the file moved to {hunk.moved_to} ({alike}){since}"
    if state == "file-gone":
        return f"{place}: the file is gone{since}"
    if state == "offset":
        return f"{place}: offset {hunk.offset:+d}, now at line {hunk.line}"
    if state == "already-applied" and not hunk.line:
        return f"{place}: already applied: the file is gone"
    if state == "already-applied":
        return f"{place}: already applied, at line {hunk.line}"
    if state == "ambiguous":
        return f"{place}: ambiguous: its context stands in several places, one at line {hunk.line}"
    if hunk.blocked_by:
        return f"{place}: the file cannot be added: {hunk.blocked_by} is in the way"
    if state == "conflict" and not hunk.found:
        return f"{place}: the text fits, but the file is not the one that the patch was made for"
    return f"{place}: {state} near line {hunk.line}"


def _differences(hunk: HunkVerdict) -> list[tuple[str, str]]:
    """Return expected and found lines where they differ, side by side."""
    pairs = zip_longest(hunk.hunk.source, hunk.found, fillvalue=b"")
    return [_side_by_side(a, b) for a, b in pairs if a != b]


def _side_by_side(expected: bytes, found: bytes) -> tuple[str, str]:
    a, b = text_of([expected, found])
    if a == b:  # then their ends differ, which nobody would see
        a += repr(expected[len(expected.rstrip(b"\r\n")) :].decode())[1:-1]
        b += repr(found[len(found.rstrip(b"\r\n")) :].decode())[1:-1]
    return a, b
