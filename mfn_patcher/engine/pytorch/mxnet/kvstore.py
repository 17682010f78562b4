"""Key-value stores, which here only add up arrays of several workers."""

from __future__ import annotations

from collections.abc import Sequence

from . import distributed
from .base import OutOfScopeError, out_of_scope
from .ndarray import NDArray

__getattr__ = out_of_scope("mxnet.kvstore")

Keys = str | Sequence[str]
Arrays = NDArray | Sequence[NDArray]
"""The array of a key, or those of several keys."""


class KVStoreBase:
    """Base class of stores, and of the script's own."""

    @property
    def num_workers(self) -> int:
        """Number of workers."""
        raise NotImplementedError

    def init(self, key: str, value: NDArray) -> None:
        """Begin with a key, and perhaps change its value to begin with."""
        raise NotImplementedError

    def pushpull(
        self, key: Keys, value: Arrays, out: Arrays | None = None, priority: int = 0
    ) -> None:
        """Add up the values that the workers give; see `KVStore.pushpull`."""
        raise NotImplementedError


class KVStore(KVStoreBase):
    """A store whose values are the sums of what all workers give.

    Attributes:
        type: name of the store.
        rank: number of this worker, from 0.
    """

    def __init__(self, name: str) -> None:
        """Join the other workers; see `distributed.join`."""
        self.type = name
        self.rank, self._num_workers = distributed.join()

    @property
    def num_workers(self) -> int:
        """Number of workers."""
        return self._num_workers

    def init(self, key: str, value: NDArray) -> None:
        """Accept a key; values are exchanged in the order of the calls, whatever their keys."""

    def pushpull(
        self, key: Keys, value: Arrays, out: Arrays | None = None, priority: int = 0
    ) -> None:
        """Add up the values that the workers give.

        Args:
            key: a key, or several.
            value: their values.
            out: what gets the sums; by default, the values themselves.
            priority: is ignored.
        """
        targets = _list(value if out is None else out)
        for given, target in zip(_list(value), targets):
            if target is not given:
                given.copyto(target)
        distributed.add([target.tensor for target in targets])

    def _barrier(self) -> None:
        """Wait until all workers have reached this point."""
        distributed.wait()

    def __del__(self) -> None:
        """Leave the other workers."""
        if hasattr(self, "rank"):
            distributed.leave()


def _list(arrays: Arrays) -> list[NDArray]:
    return [arrays] if isinstance(arrays, NDArray) else list(arrays)


def create(name: str = "local") -> KVStore:
    """Return a store for several workers.

    Raises:
        OutOfScopeError: The store is not one of those whose workers wait for each other.
        MXNetError: The other workers cannot be joined.
    """
    if name not in ("dist_sync", "dist_device_sync"):
        raise OutOfScopeError(f"key-value store {name}")
    return KVStore(name)
