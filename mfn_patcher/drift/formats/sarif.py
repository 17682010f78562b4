"""SARIF 2.1.0 for code scanning and editors, with results on lines of the patch files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mfn_patcher import __version__
from mfn_patcher.drift.findings import LINT
from mfn_patcher.drift.verdicts import HunkState
from mfn_patcher.printable import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfn_patcher.drift.findings import DriftFinding, DriftReport
    from mfn_patcher.drift.verdicts import PatchVerdict, RevisionVerdict

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

_RULES = {
    HunkState.OFFSET.value: "The hunk fits at another line, and only there.",
    HunkState.ALREADY_APPLIED.value: "Upstream already has the post-image of the hunk.",
    HunkState.AMBIGUOUS.value: "The hunk would move, and its context is in several places.",
    HunkState.CONFLICT.value: "The lines at the hunk's place are not those that it expects.",
    HunkState.FILE_MOVED.value: "The file is at another path, or a similar file of its name is.",
    HunkState.FILE_GONE.value: "The file does not exist.",
    LINT: "A file of the project does not have the documented format.",
}


def render(report: DriftReport) -> str:
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
        "version": __version__,
        "rules": [{"id": id_, "shortDescription": {"text": text}} for id_, text in _RULES.items()],
    }
    revisions = [{"revision": v.revision, "commit": v.commit} for v in report.revisions]
    run = {"tool": {"driver": driver}, "results": results, "properties": {"revisions": revisions}}
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json_text(document) + "\n"


def _properties(
    report: DriftReport, verdict: RevisionVerdict, patch: PatchVerdict
) -> dict[str, Any]:
    properties = {
        "patch": patch.patch.name,
        "verdict": patch.state.value,
        "revision": verdict.revision,
        "commit": verdict.commit,
    }
    change = report.since(verdict, patch)
    return {**properties, "since": change.commit.id} if change else properties


def _result(
    finding: DriftFinding, remarks: Sequence[str], revision: str, properties: dict[str, Any]
) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.file)}}
    if finding.line:
        place["region"] = {"startLine": finding.line}
    differences = [f"expected: {a}\nfound:    {b}" for a, b in finding.differences]
    return {
        "ruleId": finding.rule,
        "ruleIndex": list(_RULES).index(finding.rule),
        "level": finding.severity.value,
        "message": {"text": "\n".join([finding.text, *remarks, *differences])},
        "locations": [{"physicalLocation": place}],
        # Independent of lines of the patch file and of commits of upstream.
        "partialFingerprints": {"hunk/v1": f"{revision}:{finding.file}:{finding.subject}"},
        "properties": properties,
    }
