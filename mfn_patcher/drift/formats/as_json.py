"""JSON for programs, as in ``docs/schema/check.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfn_patcher.drift.findings import text_of
from mfn_patcher.printable import json_text

if TYPE_CHECKING:
    from mfn_patcher.drift.findings import DriftFinding, DriftReport
    from mfn_patcher.drift.history import History
    from mfn_patcher.drift.verdicts import Commit, RevisionVerdict


def render(report: DriftReport) -> str:
    """Return a report as JSON."""
    document = {
        "problems": [_problem(report.problem(problem)) for problem in report.problems],
        "revisions": [_revision(verdict) for verdict in report.verdicts],
        "history": report.history and _history(report.history),
    }
    return json_text(document) + "\n"


def _problem(finding: DriftFinding) -> dict[str, Any]:
    return {"file": finding.file, "line": finding.line or None, "message": finding.text}


def _history(history: History) -> dict[str, Any]:
    return {
        "from": _revision(history.first),
        "to": _revision(history.last),
        "commits": history.commits,
        "changes": [
            {
                "patch": name,
                **_commit(change.commit),
                "verdict": change.verdict.state.value,
            }
            for name, changes in history.changes.items()
            for change in changes
        ],
    }


def _commit(commit: Commit) -> dict[str, Any]:
    return {"commit": commit.id, "date": commit.date, "subject": commit.subject}


def _revision(verdict: RevisionVerdict) -> dict[str, Any]:
    return {
        "revision": verdict.revision,
        "commit": verdict.commit,
        "patches": [
            {
                "patch": patch.patch.name,
                "verdict": patch.state.value,
                "needs": list(patch.needs),
                "hunks": [
                    {
                        "path": hunk.path,
                        "hunk": hunk.hunk.number,
                        "verdict": hunk.state.value,
                        "line": hunk.line or None,
                        "offset": hunk.offset,
                        "expected": text_of(hunk.hunk.source) if hunk.found else None,
                        "found": text_of(hunk.found) if hunk.found else None,
                        "blocked_by": hunk.blocked_by or None,
                        "moved_to": hunk.moved_to or None,
                        "similarity": round(hunk.similarity, 3) if hunk.moved_to else None,
                        "removed_by": hunk.removed_by and _commit(hunk.removed_by),
                    }
                    for hunk in patch.hunks
                ],
            }
            for patch in verdict.patches
        ],
    }
