"""How fast a log is read: lines per second, and the memory that a large log takes.

    python benchmarks/log.py [GIGABYTES]

The log is the sample of the tests over and over, with time stamps. The yardstick reads the same
bytes and splits them into lines, without looking at them.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from turns import print_table

from mfn_patcher.runs.log import read_events
from mfn_patcher.runs.summary import summarise

SAMPLE = Path(__file__).parents[1] / "tests" / "recorded" / "training.log"
STAMP = b"[2018-05-07 22:36:46]  "


def main(gigabytes: float) -> None:
    """Write the log, read it both ways, and print the figures."""
    lines = SAMPLE.read_bytes().splitlines(keepends=True)
    # In the proportion of a real run: 100 lines of speed to each verification.
    speed = [line for line in lines if b"Speed:" in line]
    block = b"".join(STAMP + line for line in lines + speed * 40)
    with tempfile.NamedTemporaryFile(suffix=".log") as file:
        count = max(1, int(gigabytes * 1e9 / len(block)))
        for _ in range(count):
            file.write(block)
        file.flush()
        total = count * block.count(b"\n")
        with Path(file.name).open("rb") as opened:
            began = time.perf_counter()
            while chunk := opened.read(1 << 20):
                chunk.split(b"\n")
            plain = time.perf_counter() - began
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with Path(file.name).open("rb") as opened:
            began = time.perf_counter()
            runs = summarise(read_events(opened), file.name)
            took = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print_table(
        f"{total:,} lines, {count * len(block) / 1e9:.2f} GB, {len(runs):,} runs",
        ("what", "lines/s", "ratio"),
        [
            ("read and summarised", f"{total / took:,.0f}", "1.00"),
            ("split into lines only", f"{total / plain:,.0f}", f"{took / plain:.2f}"),
        ],
    )
    print(f"Memory used: {(after - before) / 1024:,.0f} MB.")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.1)
