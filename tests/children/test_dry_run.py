"""Dry runs of the script that fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mfn_patcher.children import dry_run


@pytest.mark.parametrize(
    ("said", "message", "remedy"),
    [
        (
            'Traceback (most recent call last):\n  File "x", line 1\nImportError: no mxnet',
            "the script failed: ImportError: no mxnet",
            "mfn-patch doctor",
        ),
        ("Killed", "python ended with status 3:\nKilled", ""),
    ],
)
def test_why_the_script_ended(tmp_path: Path, said: str, message: str, remedy: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat >&2 <<'EOF'\n{said}\nEOF\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(dry_run.DryRunError) as error:
        dry_run.ask(tmp_path, str(python), os.environ, [[]])
    assert str(error.value).endswith(message)
    assert remedy in error.value.remedy
