"""A second parser reads the same lines in a patch, or lint reports it."""

from __future__ import annotations

from dataclasses import replace

from mfn_patcher.patching.crosscheck import disagreement
from mfn_patcher.patching.patchfile import parse_patch
from tests.support.toy import Toy


def test_other_lines_than_git_reads(toy: Toy) -> None:
    patch = parse_patch(toy.project / "patches", "first/0001-a.patch")
    assert disagreement(patch) is None
    for ours, others in ((b"+LINE 9", b"+LINE 8"), (b" line 8", b" line 0"), (b"-7,7 ", b"-7,9 ")):
        assert ours in patch.diff
        assert "unidiff" in (
            disagreement(replace(patch, diff=patch.diff.replace(ours, others))) or ""
        )


def test_empty_lines_behind_each_diff(toy: Toy) -> None:
    """git skips them; unidiff takes them for lines of the hunk before."""
    toy.change("src/a.py", 2, "LINE 2")
    toy.change("src/b.py", 2, "LINE 2")
    toy.take("first/0002-both.patch")
    path = toy.project / "patches/first/0002-both.patch"
    text = path.read_text()
    at = text.rindex("diff --git")
    path.write_text(f"{text[:at]}\n\n{text[at:]}\n")
    assert toy("lint").code == 0
