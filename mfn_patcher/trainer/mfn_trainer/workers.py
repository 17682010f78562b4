"""The processes that train one model together, as one of them sees them.

A launcher starts them and tells them by ``DMLC_ROLE`` and the like what they are. MXNet also has a
scheduler and servers, which may be started with the same command: they do all that they have to do
while they import it. With PyTorch there are only workers.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import mxnet as mx
import numpy as np

from .arguments import LOCAL_STORE, MAY_DIFFER_BETWEEN_WORKERS, option_of
from .checkpoint import Content, State
from .kvstore import WORKER_ID, Sums
from .modules import ReportingModule, WorkerModule
from .progress import DATA, END, WAIT, Progress, ProgressFile, StepFile
from .protocol import Array

_NEEDED = (
    "DMLC_ROLE",
    "DMLC_PS_ROOT_URI",
    "DMLC_PS_ROOT_PORT",
    "DMLC_NUM_WORKER",
    "DMLC_NUM_SERVER",
)
Loaded = tuple[State, Content]


class Workers:
    """This process, which trains alone.

    Attributes:
        rank: number of this worker, from 0.
        size: number of workers.
        store: what ``Module.fit`` takes as its key-value store.
        progress: where this worker is.
    """

    def __init__(self, progress_path: str) -> None:
        self.rank, self.size = 0, 1
        self.store: Any = LOCAL_STORE
        self.progress = self._open(progress_path)

    def _open(self, path: str) -> Progress:
        return StepFile(path, self.rank) if path else Progress()

    def module(self, **options: Any) -> Any:
        """Return an MXNet module."""
        return mx.mod.Module(**options)

    def agree(self, arguments: Mapping[str, Any], images: int) -> None:
        """End training unless all workers are about to train the same."""

    def share(self, loaded: Loaded | None) -> Loaded:
        """Give all workers the checkpoint that the first one, and no other, has loaded."""
        if loaded is None:
            raise RuntimeError("the first worker did not load the checkpoint")
        return loaded

    def average(self, module: Any) -> None:
        """Give all workers the mean of their moving averages."""

    def wait(self) -> None:
        """Wait until all workers have reached this point."""

    def end(self, error: BaseException | None) -> bool:
        """End training: once all workers are here, or immediately if this one has failed.

        Args:
            error: what ended it; None if it came to its end.

        Returns:
            Whether `error` must not be raised any further.
        """
        if _is_success(error):
            self.progress.tell(END)
        self.progress.close()
        return False


class DistributedWorkers(Workers):
    """One of the processes of a cluster."""

    def __init__(self, name: str, progress_path: str) -> None:
        missing = [variable for variable in _NEEDED if not os.environ.get(variable)]
        if missing:
            raise SystemExit(
                f"--kvstore {name} requires the environment variables that a launcher sets: "
                + ", ".join(missing)
            )
        try:
            self._sums = Sums(name)
        except mx.MXNetError as error:
            raise SystemExit(str(error)) from None
        self._added = 0
        self.rank, self.size = self._sums.rank, self._sums.num_workers
        self.store = self._sums
        print(f"rank {self.rank} of {self.size}", flush=True)
        self.progress = self._open(progress_path)

    def _open(self, path: str) -> Progress:
        return ProgressFile(path, self.rank) if path else Progress()

    def module(self, **options: Any) -> Any:
        """Return an MXNet module that starts from the first worker's parameters."""
        if isinstance(self.progress, ProgressFile):
            return ReportingModule(self.progress, **options)
        return WorkerModule(**options)

    def add(self, array: Array) -> Array:
        """Return the sum of the arrays that the workers give, float32."""
        self._added += 1
        key, value = f"sum {self._added}", mx.nd.array(array)
        self._sums.init_anew(key, value)
        self._sums.pushpull(key, value)
        total: Array = value.asnumpy()
        return total

    def gather(self, value: Any) -> list[Any]:
        """Return what each worker gives, by rank; it must be representable in JSON."""
        mine = np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)
        lengths = np.zeros(self.size)
        lengths[self.rank] = len(mine)
        ends = np.cumsum(self.add(lengths)).astype(int)
        text = np.zeros(ends[-1])
        text[ends[self.rank] - len(mine) : ends[self.rank]] = mine
        parts = np.split(self.add(text).astype(np.uint8), ends[:-1])
        return [json.loads(part.tobytes()) for part in parts]

    def agree(self, arguments: Mapping[str, Any], images: int) -> None:
        """End training unless all workers are about to train the same."""
        found = self.add(np.arange(self.size) == self.rank)
        if (found != 1).any():
            raise SystemExit(
                f"{WORKER_ID} must number the workers from 0 to {self.size - 1}; of each number "
                f"there are {found.astype(int).tolist()}"
            )
        same = {
            name: value
            for name, value in arguments.items()
            if option_of(name) not in MAY_DIFFER_BETWEEN_WORKERS
        }
        first, *others = self.gather({**same, "images": images})
        for rank, other in enumerate(others, start=1):
            different = [
                f"{name} is {other.get(name)}, but {first[name]} for worker 0"
                for name in sorted(first)
                if other.get(name) != first[name]
            ]
            if different:
                raise SystemExit(
                    f"worker {rank} was started with different arguments: {'; '.join(different)}"
                )

    def share(self, loaded: Loaded | None) -> Loaded:
        """Give all workers the checkpoint that the first one, and no other, has loaded.

        Parameters and moving averages come with the module.
        """
        momenta: dict[str, Any] = {}
        told = None
        if loaded is not None:
            momenta.update(loaded[1].momenta or {})
            told = {name: getattr(loaded[0], name) for name in State.__dataclass_fields__}
        shapes = {name: momentum.shape for name, momentum in momenta.items()}
        told, shapes = self.gather([told, shapes])[0]
        for name in sorted(shapes):
            if self.rank > 0:
                momenta[name] = mx.nd.zeros(shapes[name])
            self._sums.init(f"momentum of {name}", momenta[name])
        if loaded is not None:
            return loaded
        return State(**told), Content({}, {}, momenta)

    def average(self, module: Any) -> None:
        """Give all workers the mean of their moving averages, as one machine does with its GPUs."""
        self.progress.tell(WAIT)
        parameters, averages = module.get_params()
        for name in sorted(averages):
            self._sums.pushpull(name, averages[name])
            averages[name] /= self.size
        module.set_params(parameters, averages)
        mx.nd.waitall()

    def wait(self) -> None:
        """Wait until all workers have reached this point."""
        self.progress.tell(WAIT)
        self._sums.wait()
        self.progress.tell(DATA)

    def end(self, error: BaseException | None) -> bool:
        """End training; see `Workers.end`."""
        if _is_success(error):
            super().end(error)
            self._sums.wait()
            self._sums.close()
            return True
        # All others wait for this worker, and freeing the store would wait for them.
        if isinstance(error, SystemExit):
            print(error.code, file=sys.stderr)
        else:
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _is_success(error: BaseException | None) -> bool:
    return error is None or (isinstance(error, SystemExit) and not error.code)


def join(store: str, progress_path: str) -> Workers:
    """Join the workers that a key-value store names; ends the script if it cannot.

    Args:
        store: value of ``--kvstore``.
        progress_path: value of ``--progress``; empty for no file.
    """
    if store == LOCAL_STORE:
        return Workers(progress_path)
    return DistributedWorkers(store, progress_path)
