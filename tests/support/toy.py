"""A small upstream and a series for it, for tests of what happens to files in a workspace."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.repositories import commit, contents, git, write_upstream
from tests.support.tool import Ran, Tool, places

_HEADER = """\
From: A Person <a@example.org>
Date: Tue, 24 Nov 2026 00:00:00 +0000
Subject: {subject}

Why: a test.
Origin: a test.
Effect: none.
---
"""
# Options of `new`.
HEADER_OPTIONS = (
    *("--subject", "Do it", "--header", "Why=w"),
    *("--author", "Me <me@example.org>"),
)
NEW = ("mine", "--stack", "local", *HEADER_OPTIONS)
LINES = [f"line {number}\n" for number in range(40)]


@dataclass
class Toy:
    """An upstream, a project and a workspace below one folder.

    Upstream's pin has ``src/a.py`` and ``src/b.py`` of 40 lines, and ``README.md``.
    """

    tool: Tool
    folder: Path

    @property
    def upstream(self) -> Path:
        return self.folder / "upstream"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def take(self, name: str) -> None:
        """Make a patch of what is edited in upstream, the last of the series."""
        git(self.upstream, "add", "--all")
        diff = git(self.upstream, "diff", "--cached", "--full-index", "--no-renames")
        path = self.project / "patches" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_HEADER.format(subject=path.stem).encode() + diff)
        with (self.project / "patches" / "series").open("a") as series:
            series.write(f"{name}\n")
        git(self.upstream, "commit", "--quiet", "--message", name)

    def branch(self, name: str) -> None:
        """Begin another revision of upstream at the pin."""
        git(self.upstream, "checkout", "--quiet", "--force", "-B", name, "pin")

    def write(self, path: str, text: str) -> Path:
        """Write a file of upstream."""
        file = self.upstream / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def change(self, path: str, line: int, text: str, *, where: Path | None = None) -> None:
        """Replace a line, from 0, of a file of upstream or of `where`."""
        file = (where or self.upstream) / path
        lines = file.read_text().splitlines(keepends=True)
        lines[line] = f"{text}\n"
        file.write_text("".join(lines))

    def __call__(self, command: str, *options: str) -> Ran:
        """Run a command on the workspace, the project and upstream."""
        here = places(command, self.workspace, self.project, self.upstream)
        return self.tool(command, *here, *options)

    def work_tree(self) -> dict[str, bytes | str]:
        """What stands in the workspace beside .git: contents of files, targets of links."""
        return {
            path.relative_to(self.workspace).as_posix(): (
                f"-> {path.readlink()}" if path.is_symlink() else path.read_bytes()
            )
            for path in sorted(self.workspace.rglob("*"))
            if path.relative_to(self.workspace).parts[0] != ".git"
            and (path.is_symlink() or path.is_file())
        }

    def patches(self) -> dict[str, bytes]:
        """All files of the project."""
        return contents(self.project)

    def saved(self) -> dict[str, bytes]:
        """What was saved in the workspace, by path below the folder of saved files."""
        return contents(self.workspace / "saved")


def make_toy(tool: Tool, folder: Path) -> Toy:
    """Build the pin, and a series of one patch that changes line 9 of ``src/a.py``."""
    toy = Toy(tool, folder)
    for name in ("a", "b"):
        toy.write(f"src/{name}.py", "".join(LINES))
    toy.write("README.md", "hello\n")
    git(toy.upstream, "init", "--quiet", "--initial-branch=main")
    pin = commit(toy.upstream, "pin")
    git(toy.upstream, "tag", "pin")
    toy.project.mkdir()
    (toy.project / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(toy.project)
    toy.change("src/a.py", 9, "LINE 9")
    toy.take("first/0001-a.patch")
    return toy


def snapshot(folder: Path) -> list[tuple[str, int, bytes]]:
    """Everything in a folder but git's own folder: paths, kinds and contents."""
    entries = []
    for path in sorted(folder.rglob("*")):
        if path.relative_to(folder).parts[0] == ".git":
            continue
        found = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        entries.append((str(path.relative_to(folder)), found.st_mode, content))
    return entries
