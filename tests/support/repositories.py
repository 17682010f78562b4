"""Repositories of tests: running git as a user would, and where the tool's own project is."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What the workspaces of tests contain, besides patched files.
PATHS = ("/.gitignore", "/LICENSE", "/README.md", "/models/", "/src/*.py", "/src/common/")
IDENTITY = ("-c", "user.name=Upstream", "-c", "user.email=upstream@example.invalid")
# A diff as patch files have it.
DIFF = ("diff", "--full-index", "--no-ext-diff", "--no-color")


@dataclass(frozen=True)
class StandIn:
    """A repository that stands in for upstream, and a project whose series fits it."""

    upstream: Path
    project: Path
    pin: str


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run git in `folder`, and return what it prints."""
    command = ["git", *IDENTITY, *arguments]
    return subprocess.run(
        command, cwd=folder, input=stdin, stdout=subprocess.PIPE, check=True
    ).stdout


def commit(folder: Path, message: str) -> str:
    """Commit everything in `folder`, and return the commit id."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD").decode().strip()


def edit(folder: Path, path: str, old: bytes, new: bytes) -> None:
    """Replace the first `old` in a file of `folder`."""
    file = folder / path
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new, 1))


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, but for those of git, by path."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        it.as_posix(): path.read_bytes() for it, path in paths.items() if ".git" not in it.parts
    }


def write_upstream(
    project: Path,
    address: object = "https://upstream.invalid/it.git",
    paths: tuple[str, ...] = PATHS,
    header: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
) -> None:
    """Write the ``upstream.toml`` of a project, which wants paragraphs in the header."""
    text = f"address = {json.dumps(str(address))}\npaths = {json.dumps(paths)}\n"
    text += f"ignored = {json.dumps(ignored)}\n"
    text += "".join(["[header]\n", *(f'{name} = "What is {name}"\n' for name in header)])
    (project / "upstream.toml").write_text(text)


def write_project(folder: Path, pin: str, diffs: list[bytes], author: str = "A <a@b>") -> None:
    """Write a project with one stack, which has a patch for each of `diffs`."""
    (folder / "patches" / "stack").mkdir(parents=True)
    (folder / "pinned_commit.txt").write_text(f"{pin}\n")
    write_upstream(folder)
    names = [f"stack/{number:04}-change-it.patch" for number in range(1, len(diffs) + 1)]
    (folder / "patches" / "series").write_text("".join(f"{name}\n" for name in names))
    header = (
        f"From: {author}\nDate: Tue, 24 Nov 2026 00:00:00 +0130\nSubject: Change it\n\n"
        "Why: it\nOrigin: it\nEffect: ü\n---\n"
    )
    for name, diff in zip(names, diffs):
        (folder / "patches" / name).write_bytes(header.encode() + diff)
