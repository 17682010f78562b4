"""The cost of `mfn-patch check --history` grows only with the commits that touch patched files.

    python benchmarks/synthetic_history.py

Makes repositories with synthetic content with `git fast-import`, in which every Nth commit touches
a patched file and the others touch one of many other files. Walks each with ten patches, in turn,
and prints the best times, next to the time that `git log` alone takes to find the commits that
touch patched files: it reads the whole history, and nothing can be faster.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from turns import milliseconds, print_table

from mfn_patcher.drift.history import walk
from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.patchfile import Patch, parse_patch

ROUNDS = 5
PATCHES = 10
LINES = 600  # of each patched file

HEADER = (
    b"From: A <a@b>\nDate: Tue, 24 Nov 2026 00:00:00 +0000\nSubject: Change it\n\n"
    b"Why: it\nOrigin: it\nEffect: it\n---\n"
)


@dataclass(frozen=True)
class History:
    """A synthetic upstream: its commits, how many of them touch patched files, and its files."""

    commits: int
    touching: int
    files: int

    def __str__(self) -> str:
        return f"{self.commits:,} commits, {self.files:,} files, {self.touching} touching"


def content(number: int, version: int) -> bytes:
    """Return a patched file; each version has one line more above, and one changed below."""
    lines = [b"# version %d\n" % version] * (version % 7)
    lines += [b"value_%d_%d = %d\n" % (number, line, line * number) for line in range(LINES)]
    lines[-1] = b"last = %d\n" % version
    return b"".join(lines)


def stream(history: History) -> bytes:
    """Return the history as a stream for `git fast-import`."""
    out = []
    step = history.commits // history.touching
    for commit in range(history.commits):
        out.append(b"commit refs/heads/main\ncommitter A <a@b> %d +0000\n" % (10**9 + commit))
        out.append(b"data <<.\ncommit %d\n.\n" % commit)
        changed = {}
        if commit == 0:
            changed = {b"src/patched_%d.py" % n: content(n, 0) for n in range(PATCHES)}
            changed |= {path(n): b"file %d\n" % n for n in range(history.files)}
        elif commit % step == 0:
            number = commit // step % PATCHES
            changed = {b"src/patched_%d.py" % number: content(number, commit)}
        else:
            changed = {path(commit * 7919 % history.files): b"commit %d\n" % commit}
        for name, data in changed.items():
            out.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name, len(data), data))
    return b"".join(out)


def path(number: int) -> bytes:
    """Return a file that no patch names."""
    return b"other/%02d/file_%d.txt" % (number % 50, number)


def make(folder: Path, history: History) -> Repository:
    """Make a repository with `history`."""
    repository = Repository(folder)
    repository.init()
    repository.run("fast-import", "--quiet", stdin=stream(history))
    return repository


def make_patches(folder: Path, repository: Repository, pin: str) -> list[Patch]:
    """Make a patch of each patched file; it changes two lines in the middle."""
    patches = []
    for number in range(PATCHES):
        old = repository.run("show", f"{pin}:src/patched_{number}.py").stdout
        new = old
        for line in (200, 400):
            new = new.replace(b"value_%d_%d =" % (number, line), b"changed_%d =" % line)
        for side, data in (("a", old), ("b", new)):
            file = folder / side / "src" / f"patched_{number}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        names = (f"a/src/patched_{number}.py", f"b/src/patched_{number}.py")
        diff = ["git", "diff", "--no-index", "--full-index", "--no-prefix", *names]
        text = subprocess.run(diff, cwd=folder, stdout=subprocess.PIPE, check=False).stdout
        name = f"stack/{number + 1:04}-change-it.patch"
        (folder / "stack").mkdir(exist_ok=True)
        (folder / name).write_bytes(HEADER + text)
        patches.append(parse_patch(folder, name))
    return patches


def measure(title: str, folder: Path, histories: list[History]) -> None:
    """Make the histories, walk them in turn, and print a table."""
    ready = []
    for number, history in enumerate(histories):
        repository = make(folder / str(number), history)
        first, *_ = repository.out("rev-list", "--reverse", "main").split()
        last = repository.out("rev-parse", "main")
        ready.append((repository, first, last, make_patches(folder, repository, first)))
    walks: list[list[float]] = [[] for _ in histories]
    logs: list[list[float]] = [[] for _ in histories]
    found = [0] * len(histories)
    for _ in range(ROUNDS):
        for number, (repository, first, last, patches) in enumerate(ready):
            began = time.perf_counter()
            walked = walk(repository, patches, first, first=("pin", first), last=("upstream", last))
            between = time.perf_counter()
            paths = [name for patch in patches for name in patch.paths]
            repository.out("log", "--format=%H", f"{first}..{last}", "--", *paths)
            walks[number].append(between - began)
            logs[number].append(time.perf_counter() - between)
            found[number] = walked.commits
    rows = []
    for history, walk_times, log_times, commits in zip(histories, walks, logs, found):
        whole, log = min(walk_times), min(log_times)
        each = milliseconds((whole - log) / commits)
        rows.append((str(history), milliseconds(whole), milliseconds(log), each))
    print_table(
        f"{title}; {PATCHES} patches, best of {ROUNDS}",
        ("history", "check --history", "git log alone", "the rest, per revision"),
        rows,
    )


def main() -> None:
    """Measure the growth with what touches patched files, then with what does not."""
    with tempfile.TemporaryDirectory() as folder:
        grow = [History(10_000, touching, 500) for touching in (50, 100, 200, 400)]
        measure("More revisions that touch patched files", Path(folder, "touching"), grow)
        grow = [History(n, 100, 500) for n in (1_000, 10_000)]
        measure("More commits that do not", Path(folder, "commits"), grow)
        grow = [History(2_000, 100, n) for n in (100, 10_000)]
        measure("More files", Path(folder, "files"), grow)


if __name__ == "__main__":
    main()
