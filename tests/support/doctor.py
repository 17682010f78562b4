"""Checking a machine in a test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mfn_patcher.doctor.examination import Request
from mfn_patcher.doctor.machine import diagnose
from mfn_patcher.finding import Finding
from mfn_patcher.patching.series import load_series
from mfn_patcher.recipes import loading
from mfn_patcher.training.options import Options
from tests.support.repositories import ROOT


def examine(workspace: Path, **options: Any) -> tuple[Finding, ...]:
    """Return all findings for the default recipe, with training options."""
    series, recipe = load_series(ROOT), loading.load()
    request = Request(workspace, series, recipe, Options(**options), python=sys.executable)
    return diagnose(request).findings


def findings_of(findings: tuple[Finding, ...], check: str) -> list[Finding]:
    """Return the findings of one check."""
    return [finding for finding in findings if finding.check == check]
