"""How fast a series is applied, without start-up and fetch: against `git am` and `quilt push -a`.

    python benchmarks/apply.py [ADDRESS]

All three turn the pin into the patched work tree: `git am` makes commits, as we do; quilt only
changes files. Each works on a new copy every time, whose copying is not timed. quilt is skipped if
it is not installed. Then the growth from 25 to 200 patches is measured, of a synthetic series with
one file per ten patches.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from turns import milliseconds, print_table, run, seconds, take_turns

from mfn_patcher.patching.applying import apply
from mfn_patcher.patching.project import project_root, read_upstream
from mfn_patcher.patching.series import Series, load_series
from mfn_patcher.patching.workspace import Workspace

ROUNDS = 9
COUNTS = (25, 50, 100, 200)
LINES = 400  # of each file of the synthetic series
ENVIRONMENT = {
    **os.environ,
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@b",
    "QUILT_PATCHES": "patches",
    # Patches of a git mail have no fuzz; quilt's own configuration must not add any.
    "QUILT_PATCH_OPTS": "--fuzz=0",
}


def appliers(
    folder: Path, template: Path, series: Series, address: str
) -> dict[str, Callable[[], float]]:
    """Return functions that apply `series` to a copy of `template`, a workspace at the pin."""
    mails = [str(patch.path.resolve()) for patch in series.patches]

    def ours() -> float:
        with copy(folder, template) as place:
            workspace = Workspace(place)
            return seconds(lambda: apply(workspace, series, series.patches, address))

    def am() -> float:
        with copy(folder, template) as place:
            options = ("--quiet", "--keep-cr", "--committer-date-is-author-date")
            return run("git", "am", *options, *mails, cwd=place, env=ENVIRONMENT)

    def quilt() -> float:
        with copy(folder, template) as place:
            shutil.copytree(series.root / "patches", place / "patches")
            return run("quilt", "push", "-a", "-q", cwd=place, env=ENVIRONMENT)

    found = {"mfn-patch": ours, "git am": am}
    if shutil.which("quilt"):
        found["quilt push -a"] = quilt
    return found


class copy(tempfile.TemporaryDirectory[str]):  # noqa: N801  (used as a function is)
    """A copy of a folder that exists within a `with` block."""

    def __init__(self, folder: Path, template: Path) -> None:
        super().__init__(dir=folder)
        shutil.copytree(template, Path(self.name, "copy"), symlinks=True)

    def __enter__(self) -> Path:  # type: ignore[override]
        """Return the path of the folder."""
        return Path(self.name, "copy")


def git(place: Path, *arguments: str) -> str:
    """Run git as a user would; return its output."""
    identity = ("-c", "user.name=A", "-c", "user.email=a@b")
    command = ["git", *identity, "-C", str(place), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def synthetic(folder: Path, count: int) -> tuple[Path, Series]:
    """Return an upstream and a series of `count` patches, each of which changes one line."""
    upstream, project = folder / f"upstream{count}", folder / f"project{count}"
    upstream.mkdir()
    git(upstream, "init", "--quiet", "--initial-branch=master")
    files = [upstream / f"file_{number}.py" for number in range(count // 10 + 1)]
    for file in files:
        file.write_text("".join(f"value_{line} = {line}\n" for line in range(LINES)))
    git(upstream, "add", "--all")
    git(upstream, "commit", "--quiet", "--message", "The pin")
    pin = git(upstream, "rev-parse", "HEAD").strip()
    (project / "patches" / "stack").mkdir(parents=True)
    (project / "pinned_commit.txt").write_text(f"{pin}\n")
    paths = [f"/{file.name}" for file in files]
    (project / "upstream.toml").write_text(f"address = '{upstream}'\npaths = {paths}\n")
    names = [f"stack/{number:04}-change-it.patch" for number in range(1, count + 1)]
    (project / "patches" / "series").write_text("".join(f"{name}\n" for name in names))
    for number, name in enumerate(names):
        file = files[number % len(files)]
        line = number * 7919 % LINES
        text = file.read_text()
        file.write_text(text.replace(f"value_{line} =", f"value_{line} = {number} +", 1))
        header = "From: A <a@b>\nDate: Tue, 24 Nov 2026 00:00:00 +0000\nSubject: Change it\n\n"
        reasons = "Why: it\nOrigin: it\nEffect: it\n---\n"
        diff = git(upstream, "diff", "--full-index")
        (project / "patches" / name).write_text(header + reasons + diff)
        git(upstream, "add", "--all")
    git(upstream, "reset", "--quiet", "--hard")
    return upstream, load_series(project)


def main() -> None:
    """Apply the project's series, then synthetic ones."""
    address = sys.argv[1] if len(sys.argv) > 1 else read_upstream(project_root()).address
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        series = load_series(project_root())
        template = folder / "template"
        apply(Workspace(template), series, (), address)
        took = take_turns(appliers(folder, template, series, address), ROUNDS)
        first = took["mfn-patch"]
        print_table(
            f"Applying the series, {len(series.patches)} patches, median of {ROUNDS}",
            ("by", "time", "ratio"),
            [(by, milliseconds(value), f"{value / first:.2f}") for by, value in took.items()],
        )
        contenders = {}
        for count in COUNTS:
            upstream, made = synthetic(folder, count)
            template = folder / f"template{count}"
            apply(Workspace(template), made, (), str(upstream))
            for by, applier in appliers(folder, template, made, str(upstream)).items():
                contenders[f"{count} {by}"] = applier
        took = take_turns(contenders, ROUNDS // 3)
        rows = []
        for count in COUNTS:
            mine = took[f"{count} mfn-patch"]
            names = [title for title in took if title.startswith(f"{count} ")]
            times = [f"{milliseconds(took[title])} ({took[title] / mine:.1f})" for title in names]
            rows.append((str(count), *times, f"{1000 * mine / count:.2f} ms"))
        columns = ["patches", *(title.partition(" ")[2] for title in names), "mfn-patch, each"]
        print_table(f"Synthetic series, median of {ROUNDS // 3} (ratio)", columns, rows)
    print("Target: faster than quilt, and no more than linear growth.")


if __name__ == "__main__":
    main()
