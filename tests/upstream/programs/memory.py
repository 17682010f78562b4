"""Bind the network as dry_run.py does, train a step, and compare memory planned and used.

    python memory.py DATA PREFIX BATCH_SIZE

Run in the patched src folder; prints JSON with the bytes "planned" and "grew".
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(
    CUDA_VISIBLE_DEVICES="",
    MXNET_MKLDNN_ENABLED="0",
    MXNET_SUBGRAPH_BACKEND="NONE",
    MXNET_STORAGE_FALLBACK_LOG_VERBOSE="0",
)
sys.path[:0] = [str(Path.cwd()), str(Path(__file__).parents[3])]

import mxnet as mx
import train_softmax

from mfn_patcher.children.programs import dry_run


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


report: dict[str, int] = {}


def train_a_step(module: Any) -> dict[str, Any]:
    held = bound_memory(module)
    for arrays in module._exec_group.grad_arrays:
        for array in arrays:
            array[:] = 0
    batch = mx.io.DataBatch(
        data=[mx.nd.ones(shape) for _, shape in module.data_shapes],
        label=[mx.nd.zeros(shape) for _, shape in module.label_shapes],
    )
    mx.nd.waitall()
    before = resident()
    module.forward_backward(batch)
    mx.nd.waitall()
    report.update(planned=held["activations"], grew=resident() - before)
    return held


bound_memory, dry_run.memory = dry_run.memory, train_a_step
data, prefix, size = sys.argv[1:]
common = ["--network", "y1", "--loss-type", "4", "--emb-size", "128", "--target", ""]
dry_run.run(
    train_softmax,
    [*common, "--per-batch-size", size, "--data-dir", data, "--prefix", prefix],
    dry_run.passed_to_fit,
)
print(json.dumps(report))
