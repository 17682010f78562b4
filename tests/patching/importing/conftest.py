"""An upstream of a few files, a project without patches, and others' patches for it."""

from __future__ import annotations

import difflib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.patchfile import Patch
from mfn_patcher.patching.series import load_series
from tests.support.repositories import commit, git, write_upstream
from tests.support.tool import Ran, Tool

LINES = [f"line {number}\n" for number in range(1, 41)]
FILES = {
    "src/a.c": "".join(LINES),
    "src/b.c": "".join(LINES).replace("line", "row"),
    "old.txt": "old\n",
    "tools/run.sh": "#!/bin/sh\n",
    "tools/made.sh": "#!/bin/sh\necho\n",
    "dos.txt": "".join(LINES).replace("\n", "\r\n"),
}

needs_gnu_patch = pytest.mark.skipif(
    shutil.which("patch") is None, reason="GNU patch is not installed here"
)


@dataclass
class Workshop:
    """An upstream, its project, and a folder of patches."""

    tool: Tool
    folder: Path

    @property
    def upstream(self) -> Path:
        return self.folder / "upstream"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def patches(self) -> Path:
        return self.folder / "debian" / "patches"

    def put(self, name: str, text: str | bytes) -> Path:
        """Write a patch to import."""
        path = self.patches / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def take(self, *arguments: str | Path, stack: str = "debian") -> Ran:
        """Run ``import``."""
        author = ("--author", "Me <me@example.org>")
        where = ("--project", self.project)
        return self.tool("import", *arguments, "--stack", stack, *author, *where)

    def stored(self) -> tuple[Patch, ...]:
        """The patches of the project, which has no problems and applies to its pin."""
        assert lint(self.project) == []
        ran = self.tool("check", "--project", self.project)
        assert ran.code == 0, ran.out + ran.err
        return load_series(self.project).patches

    def applied(self) -> dict[str, tuple[bytes, bool]]:
        """Content of each file of the applied series, and whether it is executable."""
        workspace = self.folder / "workspace"
        ran = self.tool("apply", "-w", workspace, "--project", self.project)
        assert ran.code == 0, ran.err
        return tree(workspace)

    def quilted(self) -> dict[str, tuple[bytes, bool]]:
        """The files after GNU patch has applied the series as quilt does."""
        place, ignored = self.folder / "quilted", shutil.ignore_patterns(".git")
        shutil.copytree(self.upstream, place, symlinks=True, ignore=ignored)
        for line in (self.patches / "series").read_text().splitlines():
            name, *options = line.partition(" #")[0].partition("#")[0].split() or [""]
            if name:
                strip = () if any(each.startswith("-p") for each in options) else ("-p1",)
                command = ["patch", *strip, *options, "-f", "--no-backup-if-mismatch", "-s"]
                data = (self.patches / name).read_bytes()
                subprocess.run(command, cwd=place, input=data, check=bool(data))
        return tree(place)


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            bool(path.stat().st_mode & 0o100),
        )
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def plain(path: str, old: str, new: str, *, before: str = "a/", after: str = "b/") -> str:
    """Return what ``diff -u`` prints, with a time after the names."""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        f"{before}{path}" if old else "/dev/null",
        f"{after}{path}" if new else "/dev/null",
        "2020-01-01 10:00:00.000000000 +0100",
        "2020-02-03 10:00:00.123456789 +0100",
    )
    return "".join(lines)


def change(path: str, line: int, text: str, **names: str) -> str:
    """Return a diff that replaces a line of a file at the pin, from 1."""
    lines = FILES[path].splitlines(keepends=True)
    lines[line - 1] = f"{text}\n"
    return plain(path, FILES[path], "".join(lines), **names)


@pytest.fixture
def workshop(tool: Tool, tmp_path: Path) -> Workshop:
    made = Workshop(tool, tmp_path)
    for path, text in FILES.items():
        file = made.upstream / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    (made.upstream / "tools" / "made.sh").chmod(0o755)
    (made.upstream / "link").symlink_to("src/a.c")
    git(made.upstream, "init", "--quiet", "--initial-branch=trunk")
    pin = commit(made.upstream, "pin")
    git(made.upstream, "tag", "pin")
    (made.project / "patches").mkdir(parents=True)
    (made.project / "patches" / "series").write_text("")
    (made.project / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(made.project, made.upstream, ("/*",))
    return made
