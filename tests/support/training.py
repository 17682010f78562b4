"""Parts that tests of training share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from tests.support.repositories import ROOT


def read_record(folder: Path) -> Any:
    """Return the record of a run, which must fit its schema."""
    entry = json.loads((folder / "run.json").read_text())
    schema = json.loads((ROOT / "docs" / "schema" / "run.json").read_text())
    jsonschema.validate(entry, schema)
    return entry
