"""What the workers of a cluster say to one another: a program for the src folder.

    python agree.py

Each worker prints what all have told, with their sum; then the second is given other arguments.
"""

import os
import sys

import mxnet as mx

assert mx
sys.path.insert(0, ".")
import cluster
import numpy as np

with cluster.Workers("dist_sync", "") as workers:
    same = {"lr": 0.1, "seed": 7}
    workers.agree({**same, "data_dir": str(workers.rank)}, 42)
    told = workers.gather(["é" * (1 + workers.rank), workers.rank])
    print(told, workers.add(np.array([workers.rank, 10.5])).tolist(), flush=True)
    workers.agree({**same, "wd": workers.rank if "DIFFER" in os.environ else 0}, 42)
