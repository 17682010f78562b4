"""The overhead of `mfn-patch train`: wall time, and the tool's CPU usage and memory.

    python benchmarks/watching.py

A stand-in for the script runs 200 equal steps on all cores, and prints 1,000 lines per second, each
with speed and accuracy, which is the worst case. It runs alone, under `train` with its output in a
pipe, and under `train` with the display on a terminal, in turns. It reads from the system what the
tool has used meanwhile. The interpreter needs MXNet, because `train` looks for it first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from turns import TOOL, make_workspace, print_table, run, seconds, take_turns

ROUNDS = 3
STEPS = 200
LINES = 50  # a step, of 0.05 s

SCRIPT = """
import hashlib, json, multiprocessing.pool, os, resource, sys, time

def used(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

def peak(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

work, cores, steps, lines = json.loads(os.environ["BENCHMARK_WORK"])
parent = os.getppid()
pool = multiprocessing.pool.ThreadPool(cores)
before, began = used(parent), time.perf_counter()
for step in range(steps):
    pool.map(lambda _: hashlib.pbkdf2_hmac("sha256", b"", b"", work), range(cores))
    for line in range(lines):
        text = f"Epoch[0] Batch [{step * lines + line}]\\tSpeed: 1234.56 samples/sec\\tacc=0.123456"
        print("INFO:root:" + text, flush=True)
wall = time.perf_counter() - began
time.sleep(0.2)  # until the tool has read the last lines
with open(os.environ["BENCHMARK_RESULT"], "w") as file:
    json.dump([wall, used(parent) - before, peak(parent) / 1024], file)
"""


def calibrate() -> int:
    """Return the rounds of the hash that take 0.05 s."""
    probe = 20_000
    took = min(seconds(lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", probe)) for _ in range(10))
    return int(probe * 0.05 / took)


@contextlib.contextmanager
def terminal() -> Iterator[int]:
    """Provide a terminal whose output is read."""
    reading, writing = pty.openpty()

    def drain() -> None:
        with contextlib.suppress(OSError):
            while os.read(reading, 1 << 16):
                pass

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    yield writing
    os.close(writing)
    thread.join()
    os.close(reading)


def main() -> None:
    """Make a workspace whose script is the stand-in, and time the contenders in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace, data, result = make_workspace(folder), folder / "data", folder / "result"
        run(TOOL, "data", "synth", str(data))
        script = workspace / "src" / "train_softmax.py"
        script.write_text(SCRIPT)
        work = json.dumps([calibrate(), len(os.sched_getaffinity(0)), STEPS, LINES])
        environment = {**os.environ, "BENCHMARK_WORK": work, "BENCHMARK_RESULT": str(result)}
        train: tuple[str, ...] = (
            TOOL,
            "train",
            "--stage",
            "2",
            "--cpu",
            "--batch-size",
            "8",
            "--scale-steps",
        )
        train += ("--max-steps", str(STEPS), "--workspace", str(workspace))
        train += ("--data-dir", str(data), "--skip-accuracy-gate", "--python", sys.executable)
        readings: dict[str, list[tuple[float, float]]] = {}

        def contender(title: str, command: tuple[str, ...], output: int) -> Callable[[], float]:
            def go() -> float:
                result.unlink(missing_ok=True)
                # The stand-in saves no checkpoint, so `train` ends with an error at the end.
                ran = subprocess.run(
                    command, env=environment, stdout=output, stderr=subprocess.PIPE, check=False
                )
                if not result.exists():
                    sys.exit(ran.stderr.decode())
                wall, used, peak = json.loads(result.read_text())
                readings.setdefault(title, []).append((used / wall, peak))
                return float(wall)

            return go

        with terminal() as tty, (folder / "log").open("wb") as log:
            alone = (sys.executable, "-u", str(script))
            took = take_turns(
                {
                    "alone": contender("alone", alone, log.fileno()),
                    "train, in a pipe": contender("train, in a pipe", train, log.fileno()),
                    "train, with the display": contender("train, with the display", train, tty),
                },
                ROUNDS,
            )
    rows = []
    for title, wall in took.items():
        share, peak = (statistics.median(values) for values in zip(*readings[title]))
        mine = ("-", "-") if title == "alone" else (f"{share:.2%}", f"{peak:,.0f} MB")
        rows.append((title, f"{wall:.2f} s", f"{wall / took['alone']:.3f}", *mine))
    rate = STEPS * LINES / took["alone"]
    print_table(
        f"Watching {STEPS} steps that print {rate:,.0f} lines per second, median of {ROUNDS}",
        ("script", "wall time", "ratio", "the tool's CPU usage", "its peak memory"),
        rows,
    )
    print("Target: under 1% more wall time, under 80 MB of memory.")


if __name__ == "__main__":
    main()
