"""The command as a whole; a machine that really trains is checked in `tests/upstream`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.errors import ExitCode
from tests.support.tool import Tool, validated

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("engines_are_imported_once")]


def test_all_commands_use_the_same_word_for_failed(tool: Tool, tmp_path: Path) -> None:
    for name, arguments in {
        "doctor": ("doctor", "-w", tmp_path / "none"),
        "data-check": ("data", "check", tmp_path / "none"),
    }.items():
        ran = tool(*arguments, "--json")
        found = validated(name, ran.out)["findings"]
        assert "failed" in {finding["level"] for finding in found}
        assert ran.code == ExitCode.VERIFICATION
        told = tool(*arguments)
        assert told.out.splitlines()[0].split()[0] == found[0]["level"]
        assert told.code == ran.code
