"""A small upstream and a series of four patches in two stacks, which fit it.

The tests of the machinery run on it, so that a change of a shipped patch breaks none of them:

* ``fixes/0001`` and ``fixes/0002`` change ``src/train.py``; the second builds on the first.
* ``port/0001`` changes five files, one of them with CRLF line ends, and builds on no other patch.
* ``port/0002`` changes one line of ``src/table.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.repositories import StandIn, commit, edit, git, write_upstream

HEADER = """\
From: mfn-patch maintainers <maintainers@mfn-patch.invalid>
Date: Tue, 24 Nov 2026 00:00:00 +0000
Subject: {subject}

Why: {why}
Origin: A test.
Effect: None.
---
"""

NO_BIAS = "fixes/0001-no-bias.patch"
RATES = "fixes/0002-rate-of-the-last-layer.patch"
RANGES = "port/0001-ranges.patch"
ITEMS = "port/0002-items.patch"

TRAIN = "src/train.py"
SHAPES = "src/shapes.py"
TABLE = "src/table.py"
READER = "src/common/reader.py"
ROUNDS = "src/rounds.py"


def _file(size: int, lines: Mapping[int, str]) -> str:
    """Return a file of `size` lines: those given by their numbers, from 1, and filler."""
    numbers = range(1, size + 1)
    return "".join(f"{lines.get(number, f'# filler {number}')}\n" for number in numbers)


FILES = {
    TRAIN: _file(
        60,
        {
            20: "  bias = variable('bias')",
            21: "  fc7 = dense(data, bias = bias, num_hidden=10)",
            50: "  for epoch in xrange(args.epochs):",
        },
    ),
    SHAPES: _file(
        80,
        {
            30: "    pw = (kw-1)/2",
            31: "    ph = (kh-1)/2",
            50: "    half = size/2",
            70: "    quarter = size/4",
        },
    ),
    TABLE: _file(
        90,
        {
            10: "  for i in xrange(3):",
            20: "    for j in xrange(units[i]):",
            60: "  for key, value in table.iteritems():",
        },
    ),
    READER: _file(30, {12: "  for i in xrange( len(data_list) ):"}),
    ROUNDS: _file(20, {10: "    for i in xrange(round):"}).replace("\n", "\r\n"),
    "README.md": "hello\n",
    "LICENSE": "the licence\n",
}


@dataclass(frozen=True)
class _Patch:
    """A patch of the series: its name and header, and the text that it replaces, by file."""

    name: str
    subject: str
    why: str
    edits: tuple[tuple[str, str, str], ...]


PATCHES = (
    _Patch(
        NO_BIAS,
        "Leave the bias out of the last layer",
        "The toy wants no bias.",
        (
            (
                TRAIN,
                "  bias = variable('bias')\n  fc7 = dense(data, bias = bias, num_hidden=10)\n",
                "  fc7 = dense(data, no_bias=True, num_hidden=10)\n",
            ),
        ),
    ),
    _Patch(
        RATES,
        "Give the last layer a rate of its own",
        "The toy wants two rates.",
        (
            (
                TRAIN,
                "  fc7 = dense(data, no_bias=True, num_hidden=10)\n",
                "  # The rate of the last layer.\n  rate = 10.0\n"
                "  fc7 = dense(data, no_bias=True, num_hidden=10, rate=rate)\n",
            ),
        ),
    ),
    _Patch(
        RANGES,
        "Count with range and divide whole numbers",
        "Python 3 has no xrange.",
        (
            (READER, "xrange( len(data_list) )", "range( len(data_list) )"),
            (ROUNDS, "xrange(round)", "range(round)"),
            (SHAPES, "(kw-1)/2\n    ph = (kh-1)/2", "(kw-1)//2\n    ph = (kh-1)//2"),
            (SHAPES, "size/2", "size//2"),
            (SHAPES, "size/4", "size//4"),
            (TABLE, "xrange(3)", "range(3)"),
            (TABLE, "xrange(units[i])", "range(units[i])"),
            (TRAIN, "xrange(args.epochs)", "range(args.epochs)"),
        ),
    ),
    _Patch(
        ITEMS,
        "Iterate over items",
        "Python 3 has no iteritems.",
        ((TABLE, ".iteritems()", ".items()"),),
    ),
)


def make_stand_in(folder: Path) -> StandIn:
    """Build the upstream and the project below `folder`.

    Upstream's default branch, ``master``, has one commit more than the pin, which changes no
    patched file. ``big/weights.bin`` is a file that no command needs.
    """
    upstream, project = folder / "upstream", folder / "project"
    for path, text in FILES.items():
        file = upstream / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    (upstream / "big").mkdir()
    (upstream / "big" / "weights.bin").write_bytes(b"not fetched" * 1000)
    git(upstream, "init", "--quiet", "--initial-branch=patched")
    pin = commit(upstream, "The pin")
    for patch in PATCHES:
        for path, old, new in patch.edits:
            edit(upstream, path, old.encode(), new.encode())
        diff = git(upstream, "diff", "--full-index", "--no-renames")
        header = HEADER.format(subject=patch.subject, why=patch.why)
        file = project / "patches" / patch.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(header.encode() + diff)
        commit(upstream, patch.subject)
    names = "".join(f"{patch.name}\n" for patch in PATCHES)
    (project / "patches" / "series").write_text(names)
    (project / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(project, header=("Why", "Origin", "Effect"), ignored=("/datasets/", "/runs/"))
    git(upstream, "checkout", "--quiet", "-b", "master", pin)
    git(upstream, "branch", "--quiet", "-D", "patched")
    (upstream / "README.md").write_text("later\n")
    commit(upstream, "Later")
    return StandIn(upstream, project, pin)
