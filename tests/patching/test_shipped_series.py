"""The shipped series has the documented format, and its stacks declare what they require."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mfn_patcher.patching.applying import apply
from mfn_patcher.patching.chain import PatchConflictError, build_chain
from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.series import Series, load_series
from mfn_patcher.patching.workspace import Workspace
from tests.support.repositories import ROOT, StandIn
from tests.support.shipped import SERIES


def test_lint_finds_nothing() -> None:
    assert lint(ROOT) == []
    assert SERIES.pin == "4bc813215a4603474c840c85fa2113f5354c7180"
    assert SERIES.stacks[:2] == ("recipe", "python3")
    assert sum(patch.stack == "recipe" for patch in SERIES.patches) == 3
    assert list(SERIES.upstream.header) == ["Why", "Origin", "Effect"]
    for patch in SERIES.patches:
        assert len(patch.header.subject) <= 72, patch.name
        assert not patch.header.subject.endswith("."), patch.name


def test_every_hunk_has_three_lines_of_context_at_most() -> None:
    for patch in SERIES.patches:
        for file in patch.files:
            assert all(hunk.leading <= 3 and hunk.trailing <= 3 for hunk in file.hunks), patch.name


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
