"""Repositories of tests: running git as a user would, and where the tool's own project is."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = ("-c", "user.name=Upstream", "-c", "user.email=upstream@example.invalid")


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
