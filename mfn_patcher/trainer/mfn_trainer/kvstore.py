"""The distributed key-value store, used for sums over all workers and nothing else."""

from __future__ import annotations

import os
from typing import Any

import mxnet as mx

WORKER_ID = "DMLC_WORKER_ID"


class Sums(mx.kv.KVStoreBase):
    """Adds up arrays of all workers.

    Left to itself, MXNet's Module has the servers run the optimizer, on a copy made before the
    first step: they would not hear of a change of its learning rate, and would keep the momentum.
    Here each worker runs its own, which does the same everywhere, since parameters and gradients
    are equal.
    """

    def __init__(self, name: str) -> None:
        # Ranks of MXNet's store change from run to run. A launcher knows where the checkpoints are.
        given = os.environ.get(WORKER_ID)
        self._store = mx.kv.create(name)
        self._rank = int(given) if given else self._store.rank

    @staticmethod
    def is_capable(capability: str) -> bool:
        """Return False: it offers none of MXNet's optional capabilities."""
        return False

    @property
    def type(self) -> str:
        """Name of the store."""
        return str(self._store.type)

    @property
    def rank(self) -> int:
        """Number of this worker, from 0."""
        return self._rank

    @property
    def num_workers(self) -> int:
        """Number of workers."""
        return int(self._store.num_workers)

    def init(self, key: str, value: Any) -> None:
        """Give all workers the value that the first one has.

        All workers must initialise all keys in the same order.
        """
        mine = value if self.rank == 0 else mx.nd.zeros_like(value)
        self._store.init(key, mine)
        self._store.pushpull(key, mine, out=value)

    def init_anew(self, key: str, value: Any) -> None:
        """Initialise a key for which each worker has its own value."""
        self._store.init(key, value)

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """Add up the values that the workers give; `out` or else `value` gets the sum.

        MXNet's Module passes one key at a time, that of the engine on PyTorch all in one call.
        """
        self._store.pushpull(key, value, out=out, priority=priority)

    def wait(self) -> None:
        """Wait until all workers have reached this point."""
        self._store._barrier()

    def close(self) -> None:
        """Free the store, which tells MXNet's servers to end; freeing it at exit would hang."""
        self._store = None
