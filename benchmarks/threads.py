"""A training step on the CPU: `OMP_NUM_THREADS` as `train` sets it, against MXNet's default.

    python benchmarks/threads.py

Upstream's own `y1` with the recipe's loss, batches of 8 random images, forward, backward and
update. MXNet reads the variable when it is loaded, so each measurement runs in its own process, and
is the median of some steps after the first ones. The interpreter needs MXNet.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from turns import make_workspace, milliseconds, print_table, take_turns

from mfn_patcher.children.environment import child_environment, count_cores

ROUNDS = 3

STEP = """
import statistics, sys, time
sys.path[:0] = ["common", "symbols"]
import mxnet as mx
import fmobilefacenet

batch = mx.io.DataBatch([mx.nd.random.uniform(0, 255, (8, 3, 112, 112))], [mx.nd.zeros(8)])
embedding = fmobilefacenet.get_symbol(128)
fc7 = mx.sym.FullyConnected(embedding, num_hidden=1000, no_bias=True, name="fc7")
module = mx.mod.Module(mx.sym.SoftmaxOutput(fc7, name="softmax"), context=mx.cpu())
module.bind([("data", (8, 3, 112, 112))], [("softmax_label", (8,))])
module.init_params(mx.init.Xavier())
module.init_optimizer()
times = []
for step in range(8):
    began = time.perf_counter()
    module.forward_backward(batch)
    module.update()
    mx.nd.waitall()
    times.append(time.perf_counter() - began)
print(statistics.median(times[3:]))
"""


def main() -> None:
    """Patch a workspace, then time steps in turn."""
    with tempfile.TemporaryDirectory() as name:
        workspace = make_workspace(Path(name))
        plain = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}

        def contender(environment: dict[str, str]) -> Callable[[], float]:
            def go() -> float:
                ran = subprocess.run(
                    [sys.executable, "-c", STEP],
                    cwd=workspace / "src",
                    env=environment,
                    stdout=subprocess.PIPE,
                    check=True,
                )
                return float(ran.stdout.splitlines()[-1])

            return go

        ours = f"OMP_NUM_THREADS={count_cores()}, as train sets it"
        took = take_turns(
            {
                ours: contender(child_environment(plain, "", ())),
                "MXNet's default": contender({**plain, "CUDA_VISIBLE_DEVICES": ""}),
            },
            ROUNDS,
        )
    print_table(
        f"A step of y1 on the CPU, batch of 8, median of {ROUNDS}",
        ("threads", "time", "ratio"),
        [
            (title, milliseconds(value), f"{value / took[ours]:.2f}")
            for title, value in took.items()
        ],
    )


if __name__ == "__main__":
    main()
