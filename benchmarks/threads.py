"""A training step on the CPU: the threads as `train` sets them, against the engine's defaults.

    python benchmarks/threads.py

The steps of `benchmarks/engine.py`, in batches of 16: on a machine that does nothing else, and
beside one busy process for each core. The interpreter needs MXNet and PyTorch.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from engine import ENGINES, one_process
from turns import make_workspace, milliseconds, print_table, take_turns

from mfn_patcher.children.environment import child_environment, count_cores

ROUNDS = 3
SIZE = 16
OURS = "as `train` sets them"


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep that many cores busy."""
    running = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def main() -> None:
    """Patch a workspace, then time steps in turn."""
    set_by_train = child_environment({}, "", ())
    spinning = {name: value for name, value in set_by_train.items() if name != "GOMP_SPINCOUNT"}
    settings = {
        OURS: set_by_train,
        "`GOMP_SPINCOUNT` not set": spinning,
        "nor `OMP_NUM_THREADS`": {"CUDA_VISIBLE_DEVICES": ""},
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = make_workspace(Path(folder)) / "src"

        def contender(path: str, variables: dict[str, str], processes: int) -> Callable[[], float]:
            def go() -> float:
                with busy(processes):
                    return one_process(source, SIZE, variables | {"PYTHONPATH": path})["step"]

            return go

        for engine, path in ENGINES.items():
            for title, processes in (("alone", 0), ("beside others", len(os.sched_getaffinity(0)))):
                contenders = {
                    name: contender(path, variables, processes)
                    for name, variables in settings.items()
                }
                found = take_turns(contenders, ROUNDS)
                for name, took in found.items():
                    ratio = f"{took / found[OURS]:.2f}"
                    rows.append((f"{engine}, {title}", name, milliseconds(took), ratio))
    print_table(
        f"A step of {SIZE} images on {count_cores()} cores, median of {ROUNDS} processes",
        ("", "variables", "time", "ratio"),
        rows,
    )


if __name__ == "__main__":
    main()
