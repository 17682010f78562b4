"""The result of a drift check, and the texts that all formats share."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

from mfn_patcher.drift.verdicts import HunkState, PatchState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mfn_patcher.drift.history import Change, History
    from mfn_patcher.drift.verdicts import HunkVerdict, PatchVerdict, RevisionVerdict
    from mfn_patcher.patching.patchfile import Problem

LINT = "lint"


class Severity(str, enum.Enum):
    """The severity of a finding, with the names of SARIF."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class DriftFinding:
    """A hunk that does not fit exactly, a missing file, or a problem that lint found.

    Attributes:
        file: the file of the project, relative to the reader's folder.
        line: the line of that file, from 1; 0 means the whole file.
        rule: the verdict on the hunk, or `LINT`.
        severity: `Severity.ERROR` if it is drift.
        text: what was found, in one line.
        subject: the hunk or problem, independent of what was found.
        differences: pairs of expected and found lines that differ.
    """

    file: str
    line: int
    rule: str
    severity: Severity
    text: str
    subject: str
    differences: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> str:
        """The file and the line, if there is one."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class DriftReport:
    """The result of a drift check.

    Attributes:
        root: the project that was checked.
        base: the reader's folder, which paths are relative to.
        allowed: the worst verdict on a patch that does not count as drift.
        problems: what lint found; if there are any, nothing else was checked.
        verdicts: the verdicts at the requested revisions.
        history: the verdicts along a history, if requested.
    """

    root: Path
    base: Path
    allowed: PatchState
    problems: Sequence[Problem] = ()
    verdicts: Sequence[RevisionVerdict] = ()
    history: History | None = None

    @property
    def revisions(self) -> list[RevisionVerdict]:
        """The verdicts to show, including the one at the end of the history."""
        if not self.history or any(v.commit == self.history.last.commit for v in self.verdicts):
            return [*self.verdicts]
        return [*self.verdicts, self.history.last]

    @property
    def drifted(self) -> bool:
        """Whether any patch drifts."""
        return any(self.drifts(patch) for verdict in self.revisions for patch in verdict.patches)

    def drifts(self, patch: PatchVerdict) -> bool:
        """Return whether the verdict on a patch is worse than allowed."""
        return patch.state.rank > self.allowed.rank

    def count(self, verdict: RevisionVerdict) -> str:
        """Return a sentence with the number of drifting patches at a revision."""
        drifting = sum(self.drifts(patch) for patch in verdict.patches)
        return f"{drifting} of {len(verdict.patches)} patches drift at {title_of(verdict)}."

    def findings(self, patch: PatchVerdict) -> list[DriftFinding]:
        """Return the findings about a patch, in the order of its hunks."""
        groups = groupby(
            (hunk for hunk in patch.hunks if hunk.state is not HunkState.EXACT),
            # A missing file is one finding, not one per hunk.
            key=lambda hunk: (hunk.path, hunk.state.is_missing_file or hunk.hunk.line),
        )
        return [self._finding(patch, list(hunks)) for _, hunks in groups]

    def since(self, verdict: RevisionVerdict, patch: PatchVerdict) -> Change | None:
        """Return the commit of the history that changed a patch to its verdict, if known."""
        if not self.history or verdict.commit != self.history.last.commit:
            return None
        changes = reversed(self.history.changes[patch.patch.name])
        # A later commit may be of a branch on which the verdict was another one.
        return next((it for it in changes if it.verdict.state is patch.state), None)

    def remarks(self, verdict: RevisionVerdict, patch: PatchVerdict) -> list[str]:
        """Return remarks about a patch as a whole, one per line."""
        change = self.since(verdict, patch)
        # The findings already name the commits that removed files.
        told = {hunk.removed_by for hunk in patch.hunks}
        since = change and change.commit not in told and f"since {change.commit}"
        return [*needs(patch), *([f"{patch.state.value} {since}"] if since else [])]

    def problem(self, problem: Problem) -> DriftFinding:
        """Return the finding of a problem that lint found."""
        file, text = self._shown(problem.path), problem.message
        return DriftFinding(file, problem.line, LINT, Severity.ERROR, text, text)

    def _shown(self, path: Path) -> str:
        """Return the path of a file of the project, relative to the reader's folder."""
        seen_from = self.base if path.resolve().is_relative_to(self.base.resolve()) else self.root
        return path.resolve().relative_to(seen_from.resolve()).as_posix()

    def _finding(self, patch: PatchVerdict, hunks: list[HunkVerdict]) -> DriftFinding:
        first = hunks[0]
        # A hunk with an offset is not the reason why a patch conflicts.
        state = PatchState.OFFSET if first.state is HunkState.OFFSET else patch.state
        severity = Severity.WARNING if state is PatchState.MERGED else Severity.NOTE
        if state.rank > self.allowed.rank:
            severity = Severity.ERROR
        return DriftFinding(
            self._shown(patch.patch.path),
            first.hunk.line,
            first.state.value,
            severity,
            _describe(hunks),
            f"{first.path}:{first.hunk.number}",
            tuple(_differences(first)) if first.found else (),
        )


def title_of(verdict: RevisionVerdict) -> str:
    """Return the name of a revision and its commit."""
    commit = verdict.commit[:12]
    return commit if verdict.revision == verdict.commit else f"{verdict.revision}, {commit}"


def needs(patch: PatchVerdict) -> list[str]:
    """Return a line about conflicting patches that this one builds on, if there are any."""
    return [f"builds on {', '.join(patch.needs)}, which does not apply"] if patch.needs else []


def describe_history(history: History) -> dict[str, list[str]]:
    """Return the verdicts on each patch over a history, with the commits that changed them."""
    return {patch.patch.name: _over(history, patch) for patch in history.last.patches}


def _over(history: History, patch: PatchVerdict) -> list[str]:
    changes = history.changes[patch.patch.name]
    if not changes:
        return [f"{patch.state.value} throughout"]
    lines = [f"{change.verdict.state.value} since {change.commit}" for change in changes]
    # The last of these commits may be of a branch, and what a merge takes from another branch
    # is no change.
    if changes[-1].verdict.state is not patch.state:
        lines.append(f"{patch.state.value} at {title_of(history.last)}")
    return lines


def title_of_history(history: History) -> str:
    """Return a sentence about how many commits a history has."""
    one = history.commits == 1
    ends = f"{history.first.commit[:12]} to {history.last.commit[:12]}"
    return (
        f"{history.commits} {'commit' if one else 'commits'} from {ends} "
        f"{'changes' if one else 'change'} patched files."
    )


def text_of(lines: Sequence[bytes]) -> list[str]:
    """Return lines of upstream as text, without line ends."""
    return [line.decode(errors="replace").rstrip("\r\n") for line in lines]


def _describe(hunks: Sequence[HunkVerdict]) -> str:
    """Return a line about a hunk, or about all hunks of a missing file."""
    hunk = hunks[0]
    numbers = f"hunks {hunk.hunk.number} to {hunks[-1].hunk.number}"
    place = f"{hunk.path}: {numbers if len(hunks) > 1 else f'hunk {hunk.hunk.number}'}"
    if not hunk.hunk.number:  # the whole file: its mode, or a binary or empty file
        place = hunk.path
    state = hunk.state.value
    where = f" in {hunk.removed_by}" if hunk.removed_by else ""
    if hunk.moved_to:
        alike = f"{hunk.similarity:.0%} similar"
        return f"{place}: the file moved to {hunk.moved_to} ({alike}){where}"
    if state == "file-gone":
        return f"{place}: the file {f'was removed{where}' if where else 'does not exist'}"
    if state == "offset":
        return f"{place}: offset {hunk.offset:+d}, now at line {hunk.line}"
    if state == "already-applied" and not (hunk.line or hunk.hunk.number):
        return f"{place}: already applied"
    if state == "already-applied" and not hunk.line:
        return f"{place}: already applied: the file does not exist"
    if state == "already-applied":
        return f"{place}: already applied, at line {hunk.line}"
    if state == "ambiguous":
        return f"{place}: ambiguous: its context is in several places, one at line {hunk.line}"
    if hunk.blocked_by == hunk.path:
        return f"{place}: cannot add the file: it exists, with other content"
    if hunk.blocked_by:
        return f"{place}: cannot add the file: {hunk.blocked_by} is in the way"
    if state == "conflict" and not hunk.hunk.number:
        return f"{place}: the patch was made for another version or mode of the file"
    if state == "conflict" and not hunk.found:
        return f"{place}: the text fits, but the patch was made for another version of the file"
    return f"{place}: {state} near line {hunk.line}"


def _differences(hunk: HunkVerdict) -> list[tuple[str, str]]:
    """Return pairs of expected and found lines that differ."""
    pairs = zip_longest(hunk.hunk.source, hunk.found, fillvalue=b"")
    return [_side_by_side(a, b) for a, b in pairs if a != b]


def _side_by_side(expected: bytes, found: bytes) -> tuple[str, str]:
    a, b = text_of([expected, found])
    if a == b:  # then the invisible line ends differ
        a += repr(expected[len(expected.rstrip(b"\r\n")) :].decode())[1:-1]
        b += repr(found[len(found.rstrip(b"\r\n")) :].decode())[1:-1]
    return a, b
