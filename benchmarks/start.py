"""How fast the tool starts: against Python that imports click, which it requires.

python benchmarks/start.py
"""

from __future__ import annotations

import functools
import sys
import tempfile
from pathlib import Path

from turns import TOOL, make_workspace, milliseconds, print_table, run, take_turns

ROUNDS = 21


def main() -> None:
    """Patch a workspace, then start the tool and the yardstick in turn."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = str(make_workspace(Path(folder)))
        log = Path(__file__).parents[1] / "tests" / "recorded" / "training.log"
        commands = {
            'python -c "import click"': (sys.executable, "-c", "import click"),
            'python -c "import git" (GitPython)': (sys.executable, "-c", "import git"),
            "mfn-patch --help": (TOOL, "--help"),
            "mfn-patch train --stage all --dry-run": (TOOL, "train", "--stage", "all", "--dry-run"),
            "mfn-patch log, 232 lines": (TOOL, "log", str(log)),
            "mfn-patch status": (TOOL, "status", "--workspace", workspace),
            "mfn-patch apply with nothing to do": (TOOL, "apply", "--workspace", workspace),
        }
        took = take_turns(
            {name: functools.partial(run, *command) for name, command in commands.items()},
            ROUNDS,
        )
    base = took['python -c "import click"']
    print_table(
        f"Start-up, median of {ROUNDS}",
        ("command", "time", "ratio"),
        [(name, milliseconds(value), f"{value / base:.2f}") for name, value in took.items()],
    )
    print("Target: at most 2 for `--help`, at most 5 for an `apply` with nothing to do.")


if __name__ == "__main__":
    main()
