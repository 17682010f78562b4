"""Parts that tests of training share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema

from tests.support.repositories import ROOT


def wait_until(true: Callable[[], object], seconds: float = 10) -> bool:
    """Return whether something becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def read_record(folder: Path) -> Any:
    """Return the record of a run, which must fit its schema."""
    entry = json.loads((folder / "run.json").read_text())
    schema = json.loads((ROOT / "docs" / "schema" / "run.json").read_text())
    jsonschema.validate(entry, schema)
    return entry
