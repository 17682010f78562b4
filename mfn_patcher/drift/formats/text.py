"""Text for people: a table per revision, then each hunk that does not fit exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mfn_patcher.drift.findings import describe_history, needs, title_of, title_of_history
from mfn_patcher.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfn_patcher.drift.findings import DriftReport
    from mfn_patcher.drift.verdicts import RevisionVerdict

_COLOURS = {"clean": "green", "offset": "yellow", "merged": "yellow"}


def _plain(text: str, **_styles: Any) -> str:
    return text


def render(report: DriftReport, style: Callable[..., str] = _plain) -> str:
    """Return a report as text.

    Args:
        report: the report.
        style: makes text bold or coloured, as `click.style` does.
    """
    lines = [str(problem) for problem in report.problems]
    for verdict in report.revisions:
        lines += _lines(report, verdict, style)
    if report.history:
        lines += ["", one_line(title_of_history(report.history))]
        for name, states in describe_history(report.history).items():
            lines += [style(name, bold=True), *(f"  {one_line(state)}" for state in states)]
    return "".join(f"{line}\n" for line in lines)


def _lines(
    report: DriftReport, verdict: RevisionVerdict, style: Callable[..., str]
) -> Iterator[str]:
    yield one_line(title_of(verdict))
    rows = [("verdict", "patch", "hunks")]
    for patch in verdict.patches:
        good = sum(hunk.state.value in ("exact", "offset") for hunk in patch.hunks)
        rows.append((patch.state.value, patch.patch.name, f"{good} of {len(patch.hunks)} fit"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for number, row in enumerate(rows):
        state, name, hunks = (cell.ljust(width) for cell, width in zip(row, widths))
        look = {"fg": _COLOURS.get(row[0], "red")} if number else {"bold": True}
        yield f"{style(state, **look)}  {name}  {hunks}".rstrip()
    for patch in verdict.patches:
        findings = report.findings(patch)
        if findings:
            builds_on = "".join(f" ({line})" for line in needs(patch))
            yield ""
            yield style(f"{patch.patch.name}{builds_on}", bold=True)
        for finding in findings:
            yield f"  {one_line(finding.text)}"
            for expected, found in finding.differences:
                yield f"    expected: {one_line(expected)}"
                yield f"    found:    {one_line(found)}"
    yield ""
    yield one_line(report.count(verdict))
