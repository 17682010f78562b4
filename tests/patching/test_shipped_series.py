"""The shipped series has the documented format, and its stacks declare what they require."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from unidiff.patch import PatchSet

from mfn_patcher.patching.applying import apply
from mfn_patcher.patching.chain import PatchConflictError, build_chain
from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.patchfile import Patch
from mfn_patcher.patching.series import Series, load_series
from mfn_patcher.patching.workspace import Workspace
from tests.support.repositories import ROOT, StandIn
from tests.support.shipped import SERIES


def test_lint_finds_nothing() -> None:
    assert lint(ROOT) == []
    assert SERIES.pin == "4bc813215a4603474c840c85fa2113f5354c7180"
    assert SERIES.stacks[:2] == ("recipe", "python3")
    assert sum(patch.stack == "recipe" for patch in SERIES.patches) == 3


def test_every_hunk_has_three_lines_of_context_at_most() -> None:
    for patch in SERIES.patches:
        for file in patch.files:
            assert all(hunk.leading <= 3 and hunk.trailing <= 3 for hunk in file.hunks), patch.name


@pytest.mark.parametrize("patch", SERIES.patches, ids=lambda patch: patch.name)
def test_unidiff_reads_the_same(patch: Patch) -> None:
    """A second parser finds the same files, hunks and lines."""
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


def _applies(workspace: Workspace, series: Series, stacks: tuple[str, ...]) -> bool:
    try:
        build_chain(workspace.repository, series, series.select(stacks))
    except PatchConflictError:
        return False
    return True


def _prove(workspace: Workspace, series: Series) -> None:
    for stack in series.stacks:
        assert _applies(workspace, series, (stack,)), stack
        # And nothing is declared that is not needed.
        bare = replace(series, requires={})
        for left_out in series.requires.get(stack, ()):
            kept = series.required([stack]).keys() - {left_out, *series.required([left_out])}
            assert not _applies(workspace, bare, (stack, *kept)), (stack, left_out)


def test_every_stack_applies_with_what_it_requires(shipped: StandIn, tmp_path: Path) -> None:
    series = load_series(shipped.project)
    workspace = Workspace(tmp_path / "workspace")
    apply(workspace, series, (), str(shipped.upstream))
    _prove(workspace, series)


def test_every_stack_applies_to_upstream(upstream_address: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    apply(workspace, SERIES, (), upstream_address)
    _prove(workspace, SERIES)
