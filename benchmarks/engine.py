"""The two engines on the CPU: a training step of `y1`, its memory, and start-up.

    python benchmarks/engine.py

The patched upstream's own `y1` with ArcFace, as stage 3 trains it, on batches of random images:
forward, backward, SGD, and reading a result, as the script does in each step. Each measurement runs
in its own process, with as many threads as `train` gives it, and is the median of some steps after
the first ones. The interpreter needs MXNet and PyTorch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from turns import make_workspace, milliseconds, print_table, take_turns

from mfn_patcher.children.environment import child_environment
from mfn_patcher.engine.environment import PACKAGE

ROUNDS = 3
BATCHES = (16, 64)

STEP = """
import json, resource, statistics, sys, time
sys.path.insert(0, ".")
began = time.perf_counter()
import mxnet as mx
mx.nd.ones(1).asnumpy()
started = time.perf_counter() - began
import numpy as np
size = int(sys.argv[1])
sys.argv = ["train_softmax.py", "--network", "y1", "--emb-size", "128", "--loss-type", "4"]
import train_softmax
arguments = train_softmax.parse_args()
arguments.image_channel, arguments.image_h, arguments.image_w = 3, 112, 112
arguments.num_classes, arguments.num_layers = 20, 1
symbol, _, _ = train_softmax.get_symbol(arguments, None, None)
module = mx.mod.Module(symbol, context=mx.cpu())
module.bind([("data", (size, 3, 112, 112))], [("softmax_label", (size,))])
module.init_params(mx.init.Xavier())
module.init_optimizer(optimizer=mx.optimizer.SGD(learning_rate=0.001, momentum=0.9, wd=4e-5))
drawn = np.random.RandomState(0)
images = mx.nd.array(drawn.randint(0, 256, (size, 3, 112, 112)))
batch = mx.io.DataBatch([images], [mx.nd.array(drawn.randint(0, 20, size))])
times = []
for step in range(7):
    began = time.perf_counter()
    module.forward_backward(batch)
    module.update()
    module.get_outputs()[1].asnumpy()
    times.append(time.perf_counter() - began)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
print(json.dumps({"step": statistics.median(times[2:]), "peak": peak, "start": started}))
"""


ENGINES = {"MXNet": "", "PyTorch": str(PACKAGE)}
"""The folder that Python searches first for `mxnet`, by engine."""


def one_process(source: Path, size: int, environment: Mapping[str, str]) -> dict[str, float]:
    """Return what STEP prints in a process of its own.

    Args:
        source: folder of the script.
        size: images in a batch.
        environment: all variables of the process.
    """
    command = [sys.executable, "-W", "ignore", "-c", STEP, str(size)]
    ran = subprocess.run(command, cwd=source, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Patch a workspace, then time steps in turn."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        workspace = make_workspace(Path(name))
        for size in BATCHES:
            rows += compare(workspace / "src", size)
    columns = ("", *ENGINES, "MXNet / PyTorch")
    print_table(f"y1 with ArcFace on the CPU, median of {ROUNDS} processes", columns, rows)


def compare(source: Path, size: int) -> list[tuple[str, ...]]:
    """Return the rows of a table for batches of `size` images."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ENGINES}

    def contender(name: str) -> Callable[[], float]:
        environment = child_environment({"PYTHONPATH": ENGINES[name]}, "", ())

        def go() -> float:
            found[name].append(one_process(source, size, environment))
            return found[name][-1]["step"]

        return go

    steps = take_turns({name: contender(name) for name in ENGINES}, ROUNDS)
    peaks = {name: min(one["peak"] for one in found[name]) for name in found}
    starts = {name: min(one["start"] for one in found[name]) for name in found}

    def row(title: str, values: dict[str, float], show: Callable[[float], str]) -> tuple[str, ...]:
        ratio = values["MXNet"] / values["PyTorch"]
        return (title, show(values["MXNet"]), show(values["PyTorch"]), f"{ratio:.2f}")

    return [
        row(f"step of {size} images", steps, milliseconds),
        row(f"peak memory, {size} images", peaks, lambda value: f"{value / 2**20:,.0f} MiB"),
        row("import, and a first array", starts, milliseconds),
    ]


if __name__ == "__main__":
    main()
