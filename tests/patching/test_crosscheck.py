"""A second parser reads the same lines in a patch, or lint reports it."""

from __future__ import annotations

from pathlib import Path

from mfn_patcher.patching.lint import lint
from tests.support.tool import Tool
from tests.support.toy import make_toy


def test_an_empty_line_between_two_diffs(tool: Tool, tmp_path: Path) -> None:
    """git skips it; unidiff takes it for a line of the hunk before it."""
    toy = make_toy(tool, tmp_path)
    toy.change("src/a.py", 2, "LINE 2")
    toy.change("src/b.py", 2, "LINE 2")
    toy.take("first/0002-both.patch")
    assert lint(toy.project) == []
    path = toy.project / "patches/first/0002-both.patch"
    text = path.read_text()
    at = text.rindex("diff --git")
    path.write_text(f"{text[:at]}\n{text[at:]}")
    ran = tool("lint", "--project", toy.project)
    assert ran.code == 1
    assert f"{path.name}: unidiff reads different lines from git in hunk 1;" in ran.out + ran.err
