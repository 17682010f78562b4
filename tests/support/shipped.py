"""A stand-in for upstream that the shipped patches fit, for tests that need these without network.

Every line that a patch quotes is put at its number; lines that no patch quotes are filler. The
blob ids in the patches are rewritten. It proves nothing about whether a patch fits upstream:
`tests/upstream` does. Tests of the machinery use `tests.support.toy_series` instead.
"""

from __future__ import annotations

import itertools
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.patching.series import load_series, series_entries
from mfn_patcher.patching.unified import ABSENT, Hunk
from tests.support.repositories import ROOT, StandIn, commit, git
from tests.support.tool import Tool

SERIES = load_series(ROOT)
PATHS = sorted({path for patch in SERIES.patches for path in patch.paths})
"""The files that patches change."""


WITHOUT_HOOKS = [
    token
    for stack in itertools.takewhile(lambda name: name != "hooks", SERIES.stacks)
    for token in ("--stack", stack)
]
"""Options of `apply` that leave out stack hooks, and the stacks that build on it."""


def apply_shipped(tool: Tool, shipped: StandIn, folder: Path, *options: str) -> Path:
    """Apply the shipped patches to a new workspace, and return it."""
    places = ("-w", folder, "--upstream", shipped.upstream, "--project", shipped.project)
    assert tool("apply", *places, *options).code == 0
    return folder


@dataclass
class Line:
    """A line of the stand-in; None until a patch quotes it."""

    text: bytes | None = None


def make_shipped(folder: Path) -> StandIn:
    """Build the stand-in below `folder`."""
    upstream, project = folder / "upstream", folder / "project"
    for path, content in preimages().items():
        file = upstream / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (upstream / "LICENSE").write_text("the licence\n")
    (upstream / "src" / "align").mkdir()
    (upstream / "src" / "align" / "det1.npy").write_bytes(b"not fetched" * 1000)
    git(upstream, "init", "--quiet", "--initial-branch=master")
    pin = commit(upstream, "The pin")
    (upstream / "README.md").write_text("later\n")
    commit(upstream, "Later")
    shutil.copytree(ROOT / "patches", project / "patches")
    (project / "pinned_commit.txt").write_text(f"{pin}\n")
    shutil.copy(ROOT / "upstream.toml", project)
    rewrite_blob_ids(upstream, project, pin)
    return StandIn(upstream, project, pin)


def preimages() -> dict[str, bytes]:
    """Return the content of every patched file before the first patch."""
    originals: dict[str, list[Line]] = {}
    images: dict[str, list[Line]] = {}
    added = set()
    for patch in SERIES.patches:
        for file in patch.files:
            if file.source_blob == ABSENT:
                added.add(file.path)
            image = images.setdefault(file.path, [])
            original = originals.setdefault(file.path, [])
            for hunk in file.hunks:
                wanted = hunk.target_start + len(hunk.source) + 10
                more = [Line() for _ in range(wanted - len(image))]
                image += more
                original += more
                quote(image, hunk)
    return {
        path: b"".join(
            line.text if line.text is not None else b"# filler %d\n" % number
            for number, line in enumerate(lines, 1)
        )
        for path, lines in originals.items()
        if path not in added
    }


def quote(image: list[Line], hunk: Hunk) -> None:
    """Put the lines that `hunk` quotes into `image` and change it as the hunk does."""
    start = hunk.target_start - 1
    for line, text in zip(image[start:], hunk.source):
        assert line.text in (None, text)
        line.text = text
    end = start + len(hunk.source)
    image[start + hunk.leading : end - hunk.trailing] = [
        Line(text) for text in hunk.target[hunk.leading : len(hunk.target) - hunk.trailing]
    ]


def rewrite_blob_ids(upstream: Path, project: Path, pin: str) -> None:
    """Write the stand-in's own blob ids into the patches of `project`."""
    git(upstream, "read-tree", pin)
    for _, name in series_entries(project):
        path = project / "patches" / name
        data = path.read_bytes()
        files = [file.decode() for file in re.findall(rb"(?m)^diff --git a/(\S+)", data)]
        old = {file: staged(upstream, file) for file in files}
        git(upstream, "apply", "--cached", "-", stdin=data)
        for file in files:
            ids = f"{old[file]}..{staged(upstream, file)}".encode()
            pattern = rb"(?m)(^diff --git a/%s .*\nindex )\S+" % re.escape(file.encode())
            data = re.sub(pattern, rb"\g<1>" + ids, data)
        path.write_bytes(data)
    git(upstream, "read-tree", "HEAD")


def staged(upstream: Path, file: str) -> str:
    entry = git(upstream, "ls-files", "--stage", "--", file).decode().split()
    return entry[1] if entry else ABSENT
