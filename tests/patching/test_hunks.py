"""Hunks fit where git applies them, for random files, edits and shifts."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfn_patcher.patching.hunks import apply_fits, fit
from mfn_patcher.patching.patchfile import parse_patch
from mfn_patcher.patching.unified import Hunk
from tests.support.lone import HEADER
from tests.support.repositories import git

# Few distinct lines, so that a context often stands in several places.
LINES = st.lists(
    st.sampled_from([b"a\n", b"b\n", b"\n", b"c\r\n", b"d\n"]), min_size=1, max_size=30
)
EDITS = st.lists(
    st.tuples(st.integers(0, 29), st.sampled_from([b"x\n", b"a\n", b"", b"y\nz\n"])), max_size=4
)


def edit(lines: list[bytes], edits: list[tuple[int, bytes]]) -> list[bytes]:
    edited = list(lines)
    for place, text in edits:
        edited[place % len(edited)] = text
    return b"".join(edited).splitlines(keepends=True) or [b"\n"]


def hunks_of(folder: Path, old: bytes, new: bytes) -> tuple[Hunk, ...]:
    """Return the hunks by which git turns `old` into `new`."""
    (folder / "old").write_bytes(old)
    (folder / "new").write_bytes(new)
    diff = subprocess.run(
        ["git", "diff", "--no-index", "--full-index", "old", "new"],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=False,
    ).stdout
    if not diff:
        return ()
    patch = folder / "stack" / "0001-it.patch"
    patch.parent.mkdir(exist_ok=True)
    diff = diff.replace(b"a/old", b"a/file").replace(b"b/new", b"b/file")
    patch.write_bytes(HEADER + diff)
    return parse_patch(folder, "stack/0001-it.patch").files[0].hunks


def git_applies(folder: Path, content: bytes) -> tuple[bool, bytes]:
    (folder / "file").write_bytes(content)
    applied = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", "stack/0001-it.patch"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    return applied.returncode == 0, (folder / "file").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hunks")
    git(folder, "init", "--quiet")
    return folder


@given(lines=LINES, edits=EDITS, drift=EDITS, above=st.integers(0, 5))
@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_as_git_says(
    folder: Path,
    lines: list[bytes],
    edits: list[tuple[int, bytes]],
    drift: list[tuple[int, bytes]],
    above: int,
) -> None:
    hunks = hunks_of(folder, b"".join(lines), b"".join(edit(lines, edits)))
    if not hunks:
        return
    content = b"q\n" * above + b"".join(edit(lines, drift))
    fits = fit(content, hunks)
    applies, result = git_applies(folder, content)
    assert all(entry.found is None for entry in fits) == applies
    if applies:
        assert apply_fits(content, fits) == result


def test_a_hunk_never_matches_what_the_one_before_it_left(folder: Path) -> None:
    """Two nearby hunks, the second of which would fit on the lines that the first one leaves."""
    block = b"1\n2\n3\nA\n5\n6\n7\n"
    changed = block.replace(b"A", b"B")
    (first,) = hunks_of(folder, b"0\n" + block + b"8\n", b"0\n" + changed + b"8\n")
    second = replace(first, source=first.target, target=first.source)
    write_patch(folder, (first, second))
    for middle, fits in ((block, False), (block + b"9\n" + changed, True)):
        content = b"0\n" + middle + b"8\n"
        applies, result = git_applies(folder, content)
        found = fit(content, (first, second))
        assert found[0].found is None
        assert (found[1].found is None) == applies == fits
        if fits:
            assert apply_fits(content, found) == result
    # Alone, it fits there.
    assert fit(b"0\n" + changed + b"8\n", [second])[0].found is None


def write_patch(folder: Path, hunks: Sequence[Hunk]) -> None:
    """Write a patch of hunks that only replace lines."""
    lines = [b"diff --git a/file b/file\n--- a/file\n+++ b/file\n"]
    for hunk in hunks:
        start, size = hunk.source_start, len(hunk.source)
        lines.append(b"@@ -%d,%d +%d,%d @@\n" % (start, size, hunk.target_start, size))
        for before, after in zip(hunk.source, hunk.target):
            lines += [b" " + before] if before == after else [b"-" + before, b"+" + after]
    (folder / "stack" / "0001-it.patch").write_bytes(b"".join(lines))


@pytest.mark.parametrize("end", [b"", b"\n", b" ", b"\t\r\n", b"\nmore\n", b"!", b"!\n"])
def test_context_that_ends_the_file_without_a_line_break(folder: Path, end: bytes) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(9)) + b"last"
    hunks = hunks_of(folder, lines, lines.replace(b"line 7", b"LINE 7"))
    assert hunks[0].trailing
    content = lines + end
    applies, result = git_applies(folder, content)
    fits = fit(content, hunks)
    assert (fits[0].found is None) == applies == (end.strip()[:1] != b"!")
    if applies:
        assert apply_fits(content, fits) == result


def test_no_line_break_at_the_end(folder: Path) -> None:
    hunks = hunks_of(folder, b"a\nb", b"a\nc")
    assert [entry.found for entry in fit(b"a\nb", hunks)] == [None]
    assert [entry.found for entry in fit(b"a\nb\n", hunks)] == [(b"a\n", b"b\n")]


def test_the_found_text_is_where_most_of_it_stands(folder: Path) -> None:
    old = b"".join(b"line %d\n" % number for number in range(40))
    hunks = hunks_of(folder, old, old.replace(b"line 20\n", b"changed\n"))
    moved = b"above\n" * 7 + old.replace(b"line 20\n", b"drifted\n")
    (entry,) = fit(moved, hunks)
    assert entry.offset == 7
    assert entry.found is not None
    assert entry.found[3] == b"drifted\n"


def test_a_context_that_stands_twice_is_ambiguous_only_with_an_offset(folder: Path) -> None:
    block = b"1\n2\n3\nold\n4\n5\n6\n"
    filler = b"".join(b"filler %d\n" % number for number in range(9))
    hunks = hunks_of(
        folder, filler + block + filler, filler + block.replace(b"old", b"new") + filler
    )
    twice = filler + block + filler + block
    assert [entry.ambiguous for entry in fit(twice, hunks)] == [False]
    (entry,) = fit(b"one more\n" + twice, hunks)
    assert (entry.offset, entry.ambiguous) == (1, True)
    assert [entry.ambiguous for entry in fit(b"one more\n" + filler + block, hunks)] == [False]
