"""After any edit, a refreshed series gives the edited tree, or nothing has changed."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import edit
from mfn_patcher.patching.applying import apply
from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.series import load_series
from mfn_patcher.patching.workspace import Workspace
from tests.support.lone import HEADER
from tests.support.repositories import commit, git, write_upstream

pytestmark = pytest.mark.long

SIZE = 24
TEXTS = [b"mine\n", b"line 3\n", b"one\n", b"", b"two\nlines\n", b"no end"]
FILES = st.sampled_from(["a", "b"])
PLACES = st.integers(0, SIZE - 1)
Edits = list[tuple[str, int, bytes]]
ANYWHERE = st.lists(
    st.tuples(FILES, PLACES, st.sampled_from(TEXTS)),
    min_size=1,
    max_size=4,
)
# Hunks of their own, whose contexts touch or nearly do.
NEARBY = st.builds(
    lambda path, place, steps, texts: [
        (path, place + sum(steps[:number]), text) for number, text in enumerate(texts)
    ],
    FILES,
    PLACES,
    st.lists(st.integers(5, 9), min_size=2, max_size=2),
    st.lists(st.sampled_from(TEXTS), min_size=2, max_size=3),
)
# The last line: without its line break, or with one where there was none.
AT_THE_END = st.tuples(FILES, st.just(-1), st.sampled_from([b"end", b"end\n", b"line 23\n"])).map(
    lambda edit: [edit]
)
EDITS: st.SearchStrategy[Edits] = st.one_of(
    ANYWHERE, NEARBY, AT_THE_END, st.tuples(NEARBY, AT_THE_END).map(lambda both: both[0] + both[1])
)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upstream, a project with four patches on top of each other, and a workspace.

    File b has no line break at its end; the third patch has nearby hunks, the fourth two diffs of
    one file.
    """
    folder = tmp_path_factory.mktemp("properties")
    upstream, project = folder / "upstream", folder / "project"
    upstream.mkdir()
    for name in ("a", "b"):
        lines = [b"line %d\n" % number for number in range(SIZE)]
        (upstream / name).write_bytes(b"".join(lines)[: -1 if name == "b" else None])
    git(upstream, "init", "--quiet", "--initial-branch=master")
    pin = commit(upstream, "The pin")
    (project / "patches" / "it").mkdir(parents=True)
    (project / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(project)
    changes = [
        [("a", b"line 5\n", b"one\nand\n")],
        [("a", b"line 6\n", b"two\n"), ("b", b"line 0\n", b"")],
        [("a", b"line 20\n", b"three\n"), ("a", b"line 13\n", b"3\n"), ("b", b"line 12\n", b"3\n")],
        [("b", b"line 22\n", b"four\n"), ("b", b"line 3\n", b"and\n")],
    ]
    names = [f"it/{number:04d}-it.patch" for number in range(1, len(changes) + 1)]
    for name, edits in zip(names, changes):
        diffs = []
        for path, old, new in edits:
            file = upstream / path
            file.write_bytes(file.read_bytes().replace(old, new))
            diffs.append(git(upstream, "diff", "--full-index"))
            if name == names[-1]:
                git(upstream, "add", "--all")
        diff = b"".join(diffs) if name == names[-1] else diffs[-1]
        (project / "patches" / name).write_bytes(HEADER + diff)
        commit(upstream, name)
    (project / "patches" / "series").write_text("".join(f"{name}\n" for name in names))
    assert lint(project) == []
    series = load_series(project)
    apply(Workspace(folder / "workspace"), series, series.patches, str(upstream))
    return folder


def test_refreshed_then_applied(origin: Path) -> None:
    outcomes: Counter[str] = Counter()

    @given(edits=EDITS, number=st.integers(0, 3))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def refresh(edits: Edits, number: int) -> None:
        outcomes[refresh_and_apply(origin, edits, number)] += 1

    refresh()
    # What refuses everything would be right in the same way.
    assert outcomes["refreshed"] > outcomes["refused"] / 5, outcomes


def refresh_and_apply(origin: Path, edits: Edits, number: int) -> str:
    """Edit a workspace and refresh a patch; return whether it was refreshed or refused."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("project", "workspace"):
            shutil.copytree(origin / part, folder / part)
        workspace = Workspace(folder / "workspace")
        for path, place, text in edits:
            file = workspace.path / path
            lines = file.read_bytes().splitlines(keepends=True) or [b""]
            lines[place % len(lines)] = text
            file.write_bytes(b"".join(lines))
        wanted = contents(workspace.path)
        series = load_series(folder / "project")
        before = [patch.data for patch in series.patches]
        try:
            edit.refresh(workspace, series, series.patches[number])
        except MfnPatchError:
            assert [patch.data for patch in load_series(series.root).patches] == before
            assert contents(workspace.path) == wanted
            return "refused"
        assert contents(workspace.path) == wanted
        assert not workspace.edits.find()
        assert lint(series.root) == []
        elsewhere = Workspace(folder / "elsewhere")
        now = load_series(series.root)
        apply(elsewhere, now, now.patches, str(origin / "upstream"))
        assert contents(elsewhere.path) == wanted
        assert [patch.data for patch in now.patches[:number]] == before[:number]
        return "refreshed"


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("a", "b") if (folder / name).exists()}
