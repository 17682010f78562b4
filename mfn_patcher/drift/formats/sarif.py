"""For code scanning and editors: SARIF 2.1.0, whose results stand on lines of the patch files."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mfn_patcher.drift.findings import LINT
from mfn_patcher.drift.judge import HunkState
from mfn_patcher.printable import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfn_patcher.drift.findings import Finding, Report
    from mfn_patcher.drift.judge import PatchVerdict, RevisionVerdict

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

_RULES = {
    HunkState.OFFSET.value: "The hunk fits some lines away, and nowhere else.",
    HunkState.ALREADY_APPLIED.value: "What the hunk would leave stands there already.",
    HunkState.AMBIGUOUS.value: "The hunk would move, and its context stands in several places.",
    HunkState.CONFLICT.value: "Other lines stand where the hunk expects its own.",
    HunkState.FILE_MOVED.value: "The file is elsewhere, or one like it that has its name.",
    HunkState.FILE_GONE.value: "The file is not in its place.",
    LINT: "The patch file, the series or the pin is not in the documented form.",
}


def render(report: Report) -> str:
    """Return a report as SARIF."""
    results = []
    for problem in map(report.problem, report.problems):
        results.append(_result(problem, [], LINT, {}))
    for verdict in report.revisions:
        for patch in verdict.patches:
            remarks = report.remarks(verdict, patch)
            properties = _properties(report, verdict, patch)
            results += [
                _result(finding, remarks, verdict.revision, properties)
                for finding in report.findings(patch)
            ]
    driver = {
        "name": "mfn-patch",
        "version": importlib.metadata.version("mfn-patcher"),
        "rules": [{"id": id_, "shortDescription": {"text": text}} for id_, text in _RULES.items()],
    }
    revisions = [{"revision": v.revision, "commit": v.commit} for v in report.revisions]
    run = {"tool": {"driver": driver}, "results": results, "properties": {"revisions": revisions}}
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json_text(document) + "\n"


def _properties(report: Report, verdict: RevisionVerdict, patch: PatchVerdict) -> dict[str, Any]:
    properties = {
        "patch": patch.patch.name,
        "verdict": patch.state.value,
        "revision": verdict.revision,
        "commit": verdict.commit,
    }
    change = report.since(verdict, patch)
    return {**properties, "since": change.commit.id} if change else properties


def _result(
    finding: Finding, remarks: Sequence[str], revision: str, properties: dict[str, Any]
) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.file)}}
    if finding.line:
        place["region"] = {"startLine": finding.line}
    differences = [f"expected: {a}\nfound:    {b}" for a, b in finding.differences]
    return {
        "ruleId": finding.rule,
        "ruleIndex": list(_RULES).index(finding.rule),
        "level": finding.level.value,
        "message": {"text": "\n".join([finding.text, *remarks, *differences])},
        "locations": [{"physicalLocation": place}],
        # Stays the same when lines of the patch file move, and when upstream does.
        "partialFingerprints": {"hunk/v1": f"{revision}:{finding.file}:{finding.subject}"},
        "properties": properties,
    }
