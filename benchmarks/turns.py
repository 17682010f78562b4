"""Shared by the benchmarks: contenders are timed in turn, and figures are printed in a table."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

TOOL = str(Path(sys.executable).with_name("mfn-patch"))


def take_turns(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the median of what each contender returns, mostly seconds.

    Every other round goes through them backwards, so that none is always first.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)
        for name in reversed(names) if number % 2 else names:
            found[name].append(contenders[name]())
    return {name: statistics.median(values) for name, values in found.items()}


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def run(*command: str, **options: Any) -> float:
    """Return how long a program takes; its output is discarded.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
    return seconds(lambda: subprocess.run(command, check=True, **options))


def make_workspace(folder: Path) -> Path:
    """Return a patched workspace in a folder; MFN_PATCH_UPSTREAM may name another upstream."""
    workspace = folder / "insightface"
    run(TOOL, "apply", "--workspace", str(workspace))
    return workspace


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print figures as Markdown, below a heading; the first column is text."""
    print(f"### {title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|---" + "|--:" * (len(columns) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def milliseconds(value: float) -> str:
    """Return seconds in a readable form."""
    return f"{value:,.2f} s" if value >= 1 else f"{1000 * value:,.1f} ms"
