"""The shipped patches, read by a second parser: every file, hunk and line is the same."""

from __future__ import annotations

import io

import pytest
from unidiff.patch import PatchSet

from mfn_patcher.patching.series import Patch, load_series
from tests.support.preimages import ROOT


@pytest.mark.parametrize("patch", load_series(ROOT).patches, ids=lambda patch: patch.name)
def test_unidiff_reads_the_same(patch: Patch) -> None:
    # Latin-1 has a character for each byte.
    parsed = PatchSet(io.StringIO(patch.diff.decode("latin-1"), newline="\n"))
    assert [file.path for file in parsed] == [file.path for file in patch.files]
    for theirs, ours in zip(parsed, patch.files):
        assert len(theirs) == len(ours.hunks)
        for there, here in zip(theirs, ours.hunks):
            assert (there.source_start, there.target_start) == (
                here.source_start,
                here.target_start,
            )
            source = "".join(line.value for line in there if not line.is_added)
            target = "".join(line.value for line in there if not line.is_removed)
            assert source.encode("latin-1").splitlines() == b"".join(here.source).splitlines()
            assert target.encode("latin-1").splitlines() == b"".join(here.target).splitlines()
