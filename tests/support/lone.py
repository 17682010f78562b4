"""An upstream with one file of interest, and a project with one patch of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.repositories import DIFF, commit, git, write_upstream
from tests.support.tool import Tool, validated

HEADER = (
    b"From: A <a@b>\nDate: Tue, 24 Nov 2026 00:00:00 +0000\nSubject: Change it\n\n"
    b"Why: it\nOrigin: it\nEffect: it\n---\n"
)
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

    @property
    def places(self) -> tuple[str | Path, ...]:
        """The options that name upstream and project."""
        return "--upstream", self.upstream, "--project", self.project

    def make(self, old: bytes, new: bytes, *options: str) -> None:
        """Write upstream's file, and the patch that makes `new` of it."""
        file = self.upstream / "file"
        file.write_bytes(old)
        git(self.upstream, "add", "--all")
        git(self.upstream, "commit", "--quiet", "--allow-empty", "--message", "The pin")
        file.write_bytes(new)
        self.take(*options)

    def take(self, *options: str) -> str:
        """Make the patch of what is edited in upstream, whose commit is the pin.

        Returns:
            The tree with the edits, which are gone from upstream.
        """
        pin = git(self.upstream, "rev-parse", "HEAD").decode().strip()
        git(self.upstream, "add", "--all")
        diff = git(self.upstream, *DIFF, "--cached", "--no-renames", *options)
        self.patch.parent.mkdir(parents=True, exist_ok=True)
        self.patch.write_bytes(HEADER + diff)
        (self.project / "patches" / "series").write_text(f"{NAME}\n")
        (self.project / "pinned_commit.txt").write_text(f"{pin}\n")
        write_upstream(self.project)
        tree = git(self.upstream, "write-tree").decode().strip()
        git(self.upstream, "reset", "--quiet", "--hard")
        git(self.upstream, "clean", "--quiet", "-dff")
        return tree

    def add_file(self, path: str) -> None:
        """Make a patch that adds a file and changes another."""
        (self.upstream / "other").write_text("other\n")
        commit(self.upstream, "The pin")
        (self.upstream / path).parent.mkdir(parents=True, exist_ok=True)
        (self.upstream / path).write_text("new\n")
        (self.upstream / "other").write_text("changed\n")
        self.take()
        assert self.check()[0] == 0

    def check(self, *options: str) -> tuple[int, str]:
        ran = self.tool("check", *self.places, *options)
        return ran.code, ran.out + ran.err

    def at(self, content: bytes) -> list[dict[str, Any]]:
        """Let upstream's file become `content`; return the hunks, in which git must agree."""
        (self.upstream / "file").write_bytes(content)
        if git(self.upstream, "status", "--porcelain"):
            commit(self.upstream, "A later revision")
        ran = self.tool("check", *self.places, "--against", "upstream", "--format", "json")
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


def states(hunks: list[dict[str, Any]]) -> list[str]:
    return [hunk["verdict"] for hunk in hunks]


def numbered(count: int) -> list[bytes]:
    return [b"line %d\n" % number for number in range(count)]
