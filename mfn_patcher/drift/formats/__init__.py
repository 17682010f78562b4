"""Formats of the drift check.

To add a format, write a module in this package with a function ``render(report)`` that takes a
`mfn_patcher.drift.findings.DriftReport` and returns text, and add a line to `FORMATS`. It is then a
choice of ``mfn-patch check --format``. Tests fail until the table in ``docs/ci.md`` has a row for
it and ``docs/commands.md`` names it. What people see goes through `mfn_patcher.printable`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

# Module names by the names of the formats: a module is imported only when it is used.
FORMATS: Mapping[str, str] = {
    "text": "text",
    "json": "as_json",
    "github": "github",
    "junit": "junit",
    "sarif": "sarif",
}


def renderer(name: str) -> Callable[..., str]:
    """Return the function ``render`` of the format `name`, a key of `FORMATS`."""
    render: Callable[..., str] = importlib.import_module(f"{__name__}.{FORMATS[name]}").render
    return render
