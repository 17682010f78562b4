"""Every format of the table is documented."""

from __future__ import annotations

import pytest

from mfn_patcher.drift.formats import FORMATS
from tests.support.repositories import ROOT


@pytest.mark.parametrize("name", FORMATS)
def test_the_documents_name_it(name: str) -> None:
    row = f"\n| `{name}` |"
    assert row in (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    section = (ROOT / "docs/commands.md").read_text(encoding="utf-8").partition("\n## `check`")[2]
    assert f"`{name}`" in section.partition("\n## ")[0]
