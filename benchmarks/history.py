"""`mfn-patch check --history` against a careful shell script.

    python benchmarks/history.py [ADDRESS]

Both judge every patch at every commit of upstream's default branch that touches a patched file,
objects local, taking turns. The yardstick is a loop of `git read-tree` and `git apply --cached`
in a private index. Prints the medians and their ratio.
"""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import milliseconds, print_table

from mfn_patcher.drift.history import walk
from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.project import project_root, read_upstream
from mfn_patcher.patching.series import Series, load_series
from mfn_patcher.patching.upstream import fetch_blobs, fetch_history

ROUNDS = 3


def shell_loop(repository: Repository, series: Series, commits: list[str], index: Path) -> None:
    """Apply every patch at every commit, each on top of those that apply."""
    env = {**os.environ, "GIT_DIR": str(repository.git_dir), "GIT_INDEX_FILE": str(index)}
    for commit in commits:
        subprocess.run(["git", "read-tree", commit], env=env, check=True)
        for patch in series.patches:
            apply = ["git", "apply", "--cached", str(patch.path.resolve())]
            subprocess.run(
                apply, env=env, cwd=repository.work_tree, stderr=subprocess.DEVNULL, check=False
            )


def main() -> None:
    """Fetch once, measure in turn, and print."""
    address = sys.argv[1] if len(sys.argv) > 1 else read_upstream(project_root()).address
    series = load_series(project_root())
    paths = sorted({path for patch in series.patches for path in patch.paths})
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(Path(folder, "upstream"))
        repository.init()
        head, pin = fetch_history(repository, address, ("upstream", series.pin))
        log = repository.out("log", "--reverse", "--format=%H", head, "--", *paths)
        commits = log.split()
        measured = functools.partial(
            walk,
            repository,
            series.patches,
            pin,
            first=("first", commits[0]),
            last=("upstream", head),
        )
        measured(fetch=lambda blobs: fetch_blobs(repository, blobs))
        ours, theirs = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            measured()
            between = time.perf_counter()
            shell_loop(repository, series, commits, Path(folder, "index"))
            ours.append(between - began)
            theirs.append(time.perf_counter() - between)
    a, b = statistics.median(ours), statistics.median(theirs)
    print_table(
        f"{len(series.patches)} patches over {len(commits)} commits, median of {ROUNDS}",
        ("by", "time", "ratio"),
        [
            ("mfn-patch check --history", milliseconds(a), "1.00"),
            ("a loop of git read-tree and apply", milliseconds(b), f"{b / a:.2f}"),
        ],
    )


if __name__ == "__main__":
    main()
