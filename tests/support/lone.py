"""An upstream with one file of interest, and a project with one patch of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.repositories import commit, git, write_upstream
from tests.support.tool import Tool, validated

HEADER = (
    b"From: A <a@b>\nDate: Tue, 24 Nov 2026 00:00:00 +0000\nSubject: Change it\n\n"
    b"Why: it\nOrigin: it\nEffect: it\n---\n"
)
DIFF = ("diff", "--full-index", "--no-ext-diff", "--no-color")
NAME = "stack/0001-change-it.patch"


@dataclass
class Lone:
    """An upstream with one file of interest, and a project with one patch of it."""

    tool: Tool
    upstream: Path
    project: Path

    @property
    def patch(self) -> Path:
        return self.project / "patches" / NAME

    def make(self, old: bytes, new: bytes, *options: str) -> None:
        """Write upstream's file, and the patch that makes `new` of it."""
        file = self.upstream / "file"
        file.write_bytes(old)
        git(self.upstream, "add", "--all")
        git(self.upstream, "commit", "--quiet", "--allow-empty", "--message", "The pin")
        pin = git(self.upstream, "rev-parse", "HEAD").decode().strip()
        file.write_bytes(new)
        self.patch.parent.mkdir(parents=True, exist_ok=True)
        self.patch.write_bytes(HEADER + git(self.upstream, *DIFF, *options))
        (self.project / "patches" / "series").write_text(f"{NAME}\n")
        (self.project / "pinned_commit.txt").write_text(f"{pin}\n")
        write_upstream(self.project)
        git(self.upstream, "checkout", "--quiet", "--", "file")

    def check(self, *options: str) -> tuple[int, str]:
        ran = self.tool("check", "--upstream", self.upstream, "--project", self.project, *options)
        return ran.code, ran.out + ran.err

    def at(self, content: bytes) -> list[dict[str, Any]]:
        """Let upstream's file become `content`; return the hunks, in which git must agree."""
        (self.upstream / "file").write_bytes(content)
        if git(self.upstream, "status", "--porcelain"):
            commit(self.upstream, "A later revision")
        places = ("--upstream", self.upstream, "--project", self.project)
        ran = self.tool("check", *places, "--against", "upstream", "--format", "json")
        (patch,) = validated("check", ran.out)["revisions"][0]["patches"]
        hunks: list[dict[str, Any]] = patch["hunks"]
        fits = patch["verdict"] in ("clean", "offset")
        assert ran.code == (0 if fits else 3)
        ambiguous = any(hunk["verdict"] == "ambiguous" for hunk in hunks)
        assert self.taken_by_git() == (fits or ambiguous)
        return hunks

    def taken_by_git(self) -> bool:
        ran = subprocess.run(
            ["git", "apply", "--cached", "--check", self.patch],
            cwd=self.upstream,
            capture_output=True,
            check=False,
        )
        return ran.returncode == 0


def make_lone(tool: Tool, folder: Path) -> Lone:
    """Build an empty upstream and a project without a patch."""
    upstream = folder / "upstream"
    upstream.mkdir()
    git(upstream, "init", "--quiet", "--initial-branch=master")
    return Lone(tool, upstream, folder / "project")


def states(hunks: list[dict[str, Any]]) -> list[str]:
    return [hunk["verdict"] for hunk in hunks]


def numbered(count: int) -> list[bytes]:
    return [b"line %d\n" % number for number in range(count)]


def add_file(lone: Lone, path: str) -> None:
    """Make a patch that adds a file and changes another."""
    (lone.upstream / "other").write_text("other\n")
    pin = commit(lone.upstream, "The pin")
    (lone.upstream / path).parent.mkdir(parents=True, exist_ok=True)
    (lone.upstream / path).write_text("new\n")
    (lone.upstream / "other").write_text("changed\n")
    git(lone.upstream, "add", "--all")
    lone.patch.parent.mkdir(parents=True, exist_ok=True)
    lone.patch.write_bytes(HEADER + git(lone.upstream, *DIFF, "--cached"))
    (lone.project / "patches" / "series").write_text(f"{NAME}\n")
    (lone.project / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(lone.project)
    git(lone.upstream, "reset", "--quiet", "--hard")
    git(lone.upstream, "clean", "--quiet", "-dff")
    assert lone.check()[0] == 0
