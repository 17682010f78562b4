"""For a GitHub workflow: annotations on the lines of the patch files, and a job summary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mfn_patcher.drift.findings import Level, describe_history, title_of
from mfn_patcher.printable import visible

if TYPE_CHECKING:
    from mfn_patcher.drift.findings import Finding, Report

_LEVELS = {Level.NOTE: "notice", Level.WARNING: "warning", Level.ERROR: "error"}


def render(report: Report) -> str:
    """Return the workflow commands that GitHub makes annotations of."""
    lines = [_annotation(report.problem(problem), "lint", []) for problem in report.problems]
    for verdict in report.revisions:
        for patch in verdict.patches:
            title = f"{patch.state.value} at {title_of(verdict)}"
            remarks = report.remarks(verdict, patch)
            lines += [_annotation(it, title, remarks) for it in report.findings(patch)]
    # For the log alone: GitHub shows few annotations, and each tells since when already.
    lines += describe_history(report.history) if report.history else []
    return visible("".join(f"{line}\n" for line in lines))


def summary(report: Report) -> str:
    """Return the job summary: a table a revision, then the history; Markdown."""
    lines = []
    if report.problems:
        lines += ["### Problems of the patch files", "", "| file | problem |", "|---|---|"]
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
        history = describe_history(report.history)
        lines += ["### Since when", "", *(f"* {_markdown(line)}" for line in history), ""]
    return visible("\n".join(lines))


def _annotation(finding: Finding, title: str, remarks: list[str]) -> str:
    place = {"file": finding.file, "line": finding.line or 1, "title": title}
    properties = ",".join(f"{name}={_escape(str(value), ':,')}" for name, value in place.items())
    differences = [f"expected: {a}\nfound:    {b}" for a, b in finding.differences]
    text = _escape("\n".join([finding.text, *remarks, *differences]))
    return f"::{_LEVELS[finding.level]} {properties}::{text}"


def _escape(text: str, special: str = "") -> str:
    """Escape what has a meaning in workflow commands; `special` in their properties only."""
    return re.sub(f"[%\r\n{special}]", lambda found: f"%{ord(found[0]):02X}", text)


def _markdown(text: str) -> str:
    """Escape what has a meaning in a table's cell; subjects and paths are upstream's words."""
    return re.sub(r"[\\`*_\[\]<>|~]", r"\\\g<0>", text)
