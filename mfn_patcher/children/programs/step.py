"""Time training steps of the real script, as Module.fit drives them.

Runs in the workspace's src folder:

    step OUTPUT SECONDS IDENTITIES [--fed] < CASES

CASES is a JSON list of argument lists of train_softmax.py. For each, the real script runs up to the
call of Module.fit, which is then made with a batch of random images that is trained over and over
for SECONDS, and left after that. With --fed, another SECONDS are trained with the images of the
script's own iterator. IDENTITIES is the width of the last layer. OUTPUT receives a JSON object:
"error" is what ended the program, or "cases" has an object for each case, whose rates are in images
per second: "compute" of steps on the same batch, "fed" of steps on the script's iterator (null
without --fed), "forward" of verification's forward passes; "peak_bytes" is the largest amount of
memory in use: of the process on the CPU, on the first GPU otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import resource
import time
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mfn_patcher.children.programs import dry_run, feed

WARM_UP = 5
"""Steps before the clock starts: the first ones allocate memory, choose algorithms and compile."""
FEWEST = 3
"""Minimum number of steps to time, however long they take."""


class TimeIsUpError(Exception):
    """Leaves Module.fit."""


class SameBatch:
    """An endless iterator over the same batch, with the shapes of another iterator."""

    def __init__(self, iterator: Any, batch: Any) -> None:
        self.provide_data = iterator.provide_data
        self.provide_label = iterator.provide_label
        self._batch = batch

    def __iter__(self) -> SameBatch:
        return self

    def __next__(self) -> Any:
        return self._batch

    def reset(self) -> None:
        """Go to the first batch, which is the only one."""


class Clock:
    """A batch-end callback of Module.fit, which stops it after some seconds.

    Attributes:
        step_seconds: mean duration of the timed steps; None until they are over.
    """

    def __init__(self, wait: Callable[[], object], seconds: float) -> None:
        """Set the clock.

        Args:
            wait: returns when the engine has computed everything.
            seconds: how long to time steps.
        """
        self.step_seconds: float | None = None
        self._wait = wait
        self._seconds = seconds
        self._steps = 0
        self._began = 0.0

    def __call__(self, _parameters: Any) -> None:
        """Count a step, and raise TimeIsUpError after the last one."""
        self._steps += 1
        timed = self._steps - WARM_UP
        if timed == 0:
            self._wait()
            self._began = time.perf_counter()
        elif timed >= FEWEST and time.perf_counter() - self._began >= self._seconds:
            self._wait()
            self.step_seconds = (time.perf_counter() - self._began) / timed
            raise TimeIsUpError


def random_batch(shapes: Iterable[Any], identities: int) -> Any:
    """Return a batch of random images and labels.

    Args:
        shapes: description of the data, of which there is one array.
        identities: number of different labels.
    """
    import mxnet as mx
    import numpy as np

    (described,) = shapes
    drawn = np.random.RandomState(0)
    images = drawn.randint(0, 256, described[1]).astype("float32")
    labels = drawn.randint(0, identities, described[1][0]).astype("float32")
    return mx.io.DataBatch([mx.nd.array(images)], [mx.nd.array(labels)], pad=0)


def peak_bytes() -> int:
    """Return the largest amount of memory that was in use."""
    import mxnet as mx

    if not os.environ.get("CUDA_VISIBLE_DEVICES"):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    if getattr(mx, "engine", None) == "torch":
        import torch

        return int(torch.cuda.max_memory_allocated())
    # MXNet keeps what it has allocated, so current usage is the peak.
    free, total = mx.context.gpu_memory_info(0)
    return int(total - free)


def time_steps(
    module: Any,
    train_data: Any,
    *,
    fit: Callable[..., None],
    seconds: float,
    identities: int,
    fed: bool,
    **arguments: Any,
) -> dict[str, Any]:
    """Time steps and forward passes.

    Args:
        module: the script's module.
        train_data: the script's iterator.
        fit: the real Module.fit.
        seconds: how long to time each kind of step.
        identities: number of different labels.
        fed: whether to also time steps on the script's iterator.
        arguments: what the script calls Module.fit with.
    """
    import mxnet as mx

    batch = random_batch(train_data.provide_data, identities)
    size = batch.data[0].shape[0]

    def rate(iterator: Any) -> float:
        clock = Clock(mx.nd.waitall, seconds)
        with contextlib.suppress(TimeIsUpError):
            fit(module, iterator, **{**arguments, "batch_end_callback": clock})
        if clock.step_seconds is None:
            raise RuntimeError("training ended before any step was timed")
        return float(size / clock.step_seconds)

    def verify() -> int:
        module.forward(batch, is_train=False)
        module.get_outputs()[0].asnumpy()
        return int(size)

    compute = rate(SameBatch(train_data, batch))
    verify()
    return {
        "compute": compute,
        "forward": feed.rate(verify, min(seconds, 1)),
        "fed": rate(train_data) if fed else None,
        "peak_bytes": peak_bytes(),
    }


def main() -> None:
    """Time all cases and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("seconds", type=float)
    parser.add_argument("identities", type=int)
    parser.add_argument("--fed", action="store_true")
    given = parser.parse_args()

    def build(script: types.ModuleType, cases: Sequence[Sequence[str]]) -> dict[str, Any]:
        import mxnet as mx

        look = functools.partial(
            time_steps,
            fit=mx.mod.Module.fit,
            seconds=given.seconds,
            identities=given.identities,
            fed=given.fed,
        )
        return {"cases": [dry_run.run(script, case, look) for case in cases]}

    dry_run.report_on(build)
