"""Annotations on patch files and a job summary, for GitHub workflows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mfn_patcher.drift.findings import Severity, describe_history, title_of, title_of_history
from mfn_patcher.printable import visible

if TYPE_CHECKING:
    from mfn_patcher.drift.findings import DriftFinding, DriftReport
    from mfn_patcher.drift.history import History

_COMMANDS = {Severity.NOTE: "notice", Severity.WARNING: "warning", Severity.ERROR: "error"}


def render(report: DriftReport) -> str:
    """Return a report as workflow commands, which GitHub shows as annotations."""
    lines = [_annotation(report.problem(problem), "lint", []) for problem in report.problems]
    for verdict in report.revisions:
        for patch in verdict.patches:
            title = f"{patch.state.value} at {title_of(verdict)}"
            remarks = report.remarks(verdict, patch)
            lines += [_annotation(it, title, remarks) for it in report.findings(patch)]
    # Not as annotations: GitHub shows few, and each already names its commit.
    if report.history:
        # The older form of a command, which GitHub obeys anywhere in a line.
        lines += [line.replace("##[", "##\\[") for line in _history(report.history)]
    return visible("".join(f"{line}\n" for line in lines))


def summary(report: DriftReport) -> str:
    """Return the job summary in Markdown: a table per revision, then the history."""
    lines = []
    if report.problems:
        lines += ["### Problems in the patch files", "", "| file | problem |", "|---|---|"]
        for it in map(report.problem, report.problems):
            lines.append(f"| `{it.place}` | {_markdown(it.text)} |")
    for verdict in report.revisions:
        lines += [f"### {_markdown(report.count(verdict))}", ""]
        lines += ["| verdict | patch | hunks that do not fit |", "|---|---|---|"]
        for patch in verdict.patches:
            bad = [_markdown(it.text) for it in report.findings(patch) if it.rule != "offset"]
            lines.append(f"| {patch.state.value} | `{patch.patch.name}` | {'<br>'.join(bad)} |")
        lines.append("")
    if report.history:
        history = _history(report.history)
        lines += ["### Since when", "", *(f"* {_markdown(line)}" for line in history), ""]
    return visible("\n".join(lines))


def _history(history: History) -> list[str]:
    """Return a line for each verdict, for lists and logs whose lines are read on their own."""
    told = describe_history(history).items()
    lines = (f"{name}: {state}" for name, states in told for state in states)
    return [title_of_history(history), *lines]


def _annotation(finding: DriftFinding, title: str, remarks: list[str]) -> str:
    place = {"file": finding.file, "line": finding.line or 1, "title": title}
    properties = ",".join(f"{name}={_escape(str(value), ':,')}" for name, value in place.items())
    differences = [f"expected: {a}\nfound:    {b}" for a, b in finding.differences]
    text = _escape("\n".join([finding.text, *remarks, *differences]))
    return f"::{_COMMANDS[finding.severity]} {properties}::{text}"


def _escape(text: str, special: str = "") -> str:
    """Escape special characters of workflow commands; those in `special` only in properties."""
    return re.sub(f"[%\r\n{special}]", lambda found: f"%{ord(found[0]):02X}", text)


def _markdown(text: str) -> str:
    """Escape special characters of a table cell; subjects and paths come from upstream."""
    return re.sub(r"[\\`*_\[\]<>|~]", r"\\\g<0>", text)
