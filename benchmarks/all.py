"""Runs benchmarks, by default all, and writes `RESULTS.md` with a description of the machine.

python benchmarks/all.py [NAME...]
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).parent
SHARED = {"all", "peer", "turns"}


def machine() -> str:
    """Return what the figures depend on."""
    cpu = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith(("model name", "Hardware", "CPU part"))
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    git = subprocess.run(["git", "version"], stdout=subprocess.PIPE, check=True, text=True)
    return (
        f"{cpu}, {len(os.sched_getaffinity(0))} CPUs, {memory:.0f} GB; {platform.system()} "
        f"{platform.release()}; Python {platform.python_version()}; {git.stdout.strip()}; "
        f"{datetime.now(timezone.utc):%Y-%m-%d}."
    )


def main() -> None:
    """Run one program after another; if one fails, the former results stay."""
    names = sys.argv[1:] or sorted({path.stem for path in HERE.glob("*.py")} - SHARED)
    parts = [
        "# Results\n",
        "Written by `make bench`. Contenders took turns; ratios compare figures of one run.\n",
        f"{machine()}\n",
    ]
    for name in names:
        before = os.getloadavg()[0]
        print(f"{name} ...", file=sys.stderr)
        command = [sys.executable, str(HERE / f"{name}.py")]
        ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        parts.append(f"## {name}\n\n{ran.stdout.rstrip()}\n")
        parts.append(f"Load average at the start: {before:.1f}.\n")
    (HERE / "RESULTS.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
