"""What the workers of a cluster say to one another: a program for the src folder.

    python agree.py

Each worker prints what all have told, with their sum; then the second is given other arguments.
"""

import os

import mxnet as mx
import numpy as np
from mfn_trainer.workers import DistributedWorkers

assert mx
workers = DistributedWorkers("dist_sync", "")
error = None
try:
    same = {"lr": 0.1, "seed": 7}
    workers.agree({**same, "data_dir": str(workers.rank)}, 42)
    told = workers.gather(["é" * (1 + workers.rank), workers.rank])
    print(told, workers.add(np.array([workers.rank, 10.5])).tolist(), flush=True)
    workers.agree({**same, "wd": workers.rank if "DIFFER" in os.environ else 0}, 42)
except BaseException as raised:
    error = raised
workers.end(error)
