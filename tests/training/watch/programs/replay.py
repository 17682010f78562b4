"""Watch a script that prints a recorded log, on the terminal that this process has.

    replay FOLDER SECONDS

The script pauses for SECONDS before each line that has a result. It also writes the file in which
the training package says where it is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mfn_patcher.cli.terminal import show_log
from mfn_patcher.training import process
from mfn_patcher.training.companions import ALONE
from mfn_patcher.training.watch.supervision import RunWatcher, Supervision
from tests.support.plans import plans
from tests.support.runs import SAMPLE

SCRIPT = """
import re, sys, time
log, progress, seconds = sys.argv[1:]
for line in open(log):
    if re.search("Speed|Accuracy|^ver |Called|resnet|lr_steps", line):
        time.sleep(float(seconds))
    if found := re.search(r"Batch \\[(\\d+)", line):
        with open(progress, "w") as file:
            file.write(f"0 {found[1]} data {3 << 30} {80 << 30}".ljust(79) + "\\n")
    print(line, end="", flush=True)
"""


def main() -> None:
    folder, seconds = Path(sys.argv[1]), sys.argv[2]
    show_log(20)
    plan = plans()[0]
    watcher = RunWatcher(
        plan, folder / "model", folder, Supervision(display=True), sys.stdout.buffer
    )
    command = (sys.executable, "-c", SCRIPT, str(SAMPLE), str(folder / "progress"), seconds)
    launch = process.Launch(command, folder, dict(os.environ), folder / "output.log")
    with watcher:
        result = process.run(launch, watcher.output, ALONE, watcher)
    print("ended", result.signal, flush=True)


main()
