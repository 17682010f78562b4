"""For people: a table a revision, then every hunk that does not fit as it is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mfn_patcher.report.findings import describe_history, needs, title_of

if TYPE_CHECKING:
    from mfn_patcher.drift import RevisionVerdict
    from mfn_patcher.report.findings import Report

_COLOURS = {"clean": "green", "offset": "yellow", "merged": "yellow"}


def render(report: Report, *, colour: bool = False) -> str:
    """Return a report for people.

    Args:
        report: what was found.
        colour: whether it goes to a terminal.
    """
    out = io.StringIO()
    console = Console(file=out, force_terminal=colour, highlight=False, soft_wrap=True)
    for problem in report.problems:
        console.print(str(problem), markup=False)
    for verdict in report.revisions:
        _print(console, report, verdict)
    for line in describe_history(report.history) if report.history else ():
        console.print(line, markup=False)
    return out.getvalue()


def _print(console: Console, report: Report, verdict: RevisionVerdict) -> None:
    table = Table(title=Text(title_of(verdict)), title_justify="left", box=None, pad_edge=False)
    for column in ("verdict", "patch", "hunks"):
        table.add_column(column)
    for patch in verdict.patches:
        good = sum(hunk.state.value in ("exact", "offset") for hunk in patch.hunks)
        state = Text(patch.state.value, style=_COLOURS.get(patch.state.value, "red"))
        table.add_row(state, patch.patch.name, f"{good} of {len(patch.hunks)} fit")
    console.print(table)
    for patch in verdict.patches:
        findings = report.findings(patch)
        if findings:
            builds_on = "".join(f" ({line})" for line in needs(patch))
            console.print(f"\n{patch.patch.name}{builds_on}", style="bold", markup=False)
        for finding in findings:
            console.print(f"  {finding.text}", markup=False)
            for expected, found in finding.differences:
                console.print(f"    expected: {expected}", markup=False)
                console.print(f"    found:    {found}", markup=False)
    console.print(f"\n{report.count(verdict)}", markup=False)
