"""Among equal blocks, a change goes where git's 3-way merge puts it."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.threeway import merge
from mfn_patcher.patching.unified import ABSENT, FilePatch, Hunk
from tests.support.repositories import DIFF, commit, git, write_project
from tests.support.tool import Ran, Tool, places

BLOCK = "entry(\n  k=1\n  s=2\n  r=3\n  flag=no\n  a=0\n  b=0\n  c=0\n)\n"
TWO = f"top\n{BLOCK}{BLOCK}{BLOCK}end\n"
SECOND = f"top\n{BLOCK}{BLOCK.replace('=no', '=yes')}{BLOCK}end\n"


@dataclass
class Blocks:
    """An upstream with equal blocks, and commands on a project that patches it."""

    tool: Tool
    folder: Path

    @property
    def upstream(self) -> Path:
        return self.folder / "upstream"

    def write(self, text: str) -> None:
        (self.upstream / "file").write_text(text)

    def __call__(self, command: str, *options: str) -> Ran:
        here = places(command, self.folder / "workspace", self.folder / "project", self.upstream)
        return self.tool(command, *here, *options)

    def result(self) -> str:
        return (self.folder / "workspace" / "file").read_text()

    def make(self, *texts: str) -> str:
        """Make the first of `texts` the pin, and a patch of each step to the next."""
        self.upstream.mkdir()
        git(self.upstream, "init", "--quiet", "--initial-branch=patched")
        self.write(texts[0])
        pin = commit(self.upstream, "The pin")
        diffs = []
        for text in texts[1:]:
            self.write(text)
            diffs.append(git(self.upstream, *DIFF))
            commit(self.upstream, "A patch")
        write_project(self.folder / "project", pin, diffs)
        return pin


@pytest.fixture
def blocks(tool: Tool, tmp_path: Path) -> Blocks:
    return Blocks(tool, tmp_path)


def test_rebase_goes_where_git_rebase_goes(blocks: Blocks) -> None:
    pin = blocks.make(TWO, SECOND)
    assert blocks("apply").code == 0
    git(blocks.upstream, "checkout", "--quiet", "-b", "newer", pin)
    blocks.write(f"top\n{BLOCK.replace('k=1', 'k=NEW')}{TWO[4:]}")
    commit(blocks.upstream, "One more entry above")
    ran = blocks("rebase", "--onto", "newer")
    assert ran.code == 0, ran.err
    assert "stack/0001-change-it.patch: file: hunk 1 moved by +9 lines" in ran.err
    git(blocks.upstream, "checkout", "--quiet", "patched")
    git(blocks.upstream, "rebase", "--quiet", "newer")
    assert blocks.result() == (blocks.upstream / "file").read_text()


def test_a_patch_left_out_moves_those_after_it_as_git_does(blocks: Blocks) -> None:
    """The first patch adds a block, the second changes the one that is then the third."""
    more = f"top\n{BLOCK.replace('k=1', 'k=NEW')}{TWO[4:]}"
    changed = more.replace(TWO[4:], SECOND[4:])
    pin = blocks.make(TWO, more, changed)
    ran = blocks("apply", "--without", "stack/0001")
    assert ran.code == 0, ran.err
    assert "file: hunk 1 moved by -9 lines" in ran.out
    git(blocks.upstream, "rebase", "--quiet", "--onto", pin, "HEAD~1")
    assert blocks.result() == (blocks.upstream / "file").read_text()
    assert blocks.result() == SECOND


def test_overlapping_what_was_left_out(blocks: Blocks) -> None:
    """The hunk would fit elsewhere, at one of several equal places or at the only one."""
    for number, rest in enumerate((TWO[4:], TWO[4:].replace(BLOCK, "", 1).replace(BLOCK, "", 1))):
        place = Blocks(blocks.tool, blocks.folder / str(number))
        place.folder.mkdir()
        first = f"top\n{BLOCK.replace('b=0', 'b=1')}{rest}"
        place.make(f"top\n{rest}", first, first.replace("a=0\n  b=1", "a=2\n  b=1", 1))
        ran = place("apply", "--without", "stack/0001")
        assert (ran.code, "does not apply" in ran.err) == (1, True), ran.out


def test_a_broken_patch_can_be_left_out(blocks: Blocks) -> None:
    lines = "".join(f"line {number}\n" for number in range(40))
    nine = lines.replace("line 9\n", "NINE\n")
    blocks.make(lines, nine, nine.replace("line 30", "THIRTY"))
    first = blocks.folder / "project" / "patches" / "stack" / "0001-change-it.patch"
    first.write_text(first.read_text().replace(" line 8\n", " drifted\n"))
    assert blocks("apply").code == 1
    ran = blocks("apply", "--without", "stack/0001")
    assert ran.code == 0, ran.err
    assert blocks.result() == lines.replace("line 30", "THIRTY")


@pytest.mark.parametrize("seed", range(3))
def test_as_git_merge_file_says(tmp_path: Path, seed: int) -> None:
    """Random changes of files of equal blocks: content, conflicts and offsets."""
    chance = random.Random(seed)
    repository = Repository(tmp_path)
    moved = 0
    for _ in range(30):
        base = [*f"{BLOCK}".splitlines(keepends=True)] * chance.randint(2, 5)
        ours, theirs = list(base), list(base)
        place = chance.randrange(0, len(base), 9)
        ours[place:place] = BLOCK.replace("k=1", f"k={chance.randint(1, 2)}").splitlines(True)
        changed = chance.randrange(len(base))
        theirs[changed] = "changed\n"
        old, own, new = ("".join(lines).encode() for lines in (base, ours, theirs))
        for name, text in (("base", old), ("ours", own), ("theirs", new)):
            (tmp_path / name).write_bytes(text)
        files = [str(tmp_path / name) for name in ("ours", "base", "theirs")]
        labels = ("-L", "us", "-L", "before", "-L", "them")
        ran = subprocess.run(
            ["git", "merge-file", "-p", *labels, *files], capture_output=True, check=False
        )
        found = merge(repository, old, own, new, ("us", "them"))
        assert (found.content, found.conflicting) == (ran.stdout, ran.returncode > 0)
        if found.conflicting:
            continue
        assert found.content is not None
        at = found.content.split(b"\n").index(b"changed")
        hunk = hunk_at(changed, base)
        moved += at != changed
        assert sum(it.lines for it in found.offsets([hunk])) == at - changed
    assert moved > 5


def hunk_at(line: int, base: list[str]) -> FilePatch:
    """Return a patch of one hunk that changes a line, from 0, with three lines of context."""
    start = max(line - 3, 0)
    source = tuple(text.encode() for text in base[start : line + 4])
    hunk = Hunk(1, "", start + 1, start + 1, source, source, line - start, 3, 1)
    return FilePatch("file", ABSENT, ABSENT, None, (hunk,), 1)
