"""The real upstream, for the tests that need it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from mfn_patcher.patching.project import read_upstream
from tests.support.repositories import ROOT

REQUIRED = os.environ.get("MFN_PATCH_REQUIRE_UPSTREAM") == "1"
ADDRESS = os.environ.get("MFN_PATCH_UPSTREAM") or read_upstream(ROOT).address


def unproven(message: str) -> NoReturn:
    """Skip a test, or fail it where everything has to be proven."""
    if REQUIRED:
        pytest.fail(message)
    pytest.skip(message)
