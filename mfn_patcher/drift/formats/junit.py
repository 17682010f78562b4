"""JUnit's XML for CI servers: a test suite per revision, a test per patch.

The format has no standard. As pytest does, this follows ``junit-10.xsd`` of Jenkins's xUnit plugin,
which GitLab also reads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from mfn_patcher.drift.findings import LINT, title_of
from mfn_patcher.printable import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfn_patcher.drift.findings import DriftFinding, DriftReport

_ILLEGAL = re.compile("[\ufffe\uffff]")  # not allowed in XML, besides control characters


def render(report: DriftReport) -> str:
    """Return a report as JUnit's XML."""
    suites = ET.Element("testsuites", name="mfn-patch check")
    if report.problems:
        suite = ET.SubElement(suites, "testsuite", name=LINT)
        files: dict[str, list[DriftFinding]] = {}
        for problem in map(report.problem, report.problems):
            files.setdefault(problem.file, []).append(problem)
        for file, problems in files.items():
            _add_test(suite, LINT, file, problems, [], failure=LINT)
    for verdict in report.revisions:
        name = _legal(verdict.revision)
        suite = ET.SubElement(suites, "testsuite", name=_legal(title_of(verdict)))
        for patch in verdict.patches:
            failure = patch.state.value if report.drifts(patch) else ""
            findings, remarks = report.findings(patch), report.remarks(verdict, patch)
            _add_test(suite, name, patch.patch.name, findings, remarks, failure=failure)
    for counted in (*suites, suites):
        for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            counted.set(attribute, str(sum(1 for _ in counted.iter(tag))))
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _add_test(
    suite: ET.Element,
    group: str,
    name: str,
    findings: Sequence[DriftFinding],
    remarks: Sequence[str],
    *,
    failure: str,
) -> None:
    """Add a test, which fails if the kind of `failure` is given."""
    test = ET.SubElement(suite, "testcase", classname=group, name=name)
    lines = []
    for finding in findings:
        lines.append(f"{finding.place}: {finding.text}")
        for expected, found in finding.differences:
            lines += [f"  expected: {expected}", f"  found:    {found}"]
    text = _legal("\n".join([*lines, *remarks]))
    if failure:
        message = _legal(findings[0].text)
        ET.SubElement(test, "failure", type=failure, message=message).text = text
    elif text:
        ET.SubElement(test, "system-out").text = text


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", visible(text))
