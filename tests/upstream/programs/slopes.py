"""Gradients of PReLU's slopes of several networks; a program for the src folder.

    python slopes.py DATA PREFIX NETWORK...

Prints JSON: for each network what the probe measures, on fewer layers, and on fewer and smaller
images than it would.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path[:0] = [str(Path.cwd()), str(Path(__file__).parents[3])]
import train_softmax

from mfn_patcher.children.programs import dry_run, slope_gradients

# Of two images, the batch norm at the end of some networks would leave nothing but their order.
slope_gradients.BATCH, slope_gradients.STRIDE = 3, 14


def measure(module: Any, _: Any, **arguments: Any) -> Any:
    images = SimpleNamespace(provide_data=[("data", (slope_gradients.BATCH, 3, 64, 64))])
    return slope_gradients.real(module, images, **arguments)


data, prefix, *networks = sys.argv[1:]
found = {}
for network in networks:
    arguments = f"--network {network} --loss-type 0 --per-batch-size 2 --target".split()
    arguments += ["", "--data-dir", data, "--prefix", prefix]
    found[network] = dry_run.run(train_softmax, arguments, measure)
sys.stdout.write("\n" + json.dumps(found) + "\n")
