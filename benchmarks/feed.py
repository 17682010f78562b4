"""How fast training is fed: upstream's iterator, ours, and what bounds both.

    python benchmarks/feed.py [WORKSPACE]

WORKSPACE is a patched one. Images are JPEGs of about 9 KB, as those of MS1M, in a file that the
operating system has in memory. Each round asks all of them in turn, the other way round every other
time; medians of the rounds are compared. "Decode only" decodes the same bytes from memory, with
OpenCV, and drops the pixels. Memory is what the process grew by over ten epochs, after the first.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from mfn_patcher.dataset.recordio import RecordWriter, pack

IMAGES, ROUNDS, SIDE = 4096, 3, 112
ENCODED: list[bytes] = []


def draw(folder: Path) -> Path:
    """Write a record file of JPEGs as large as those of MS1M; return its path."""
    drawn = np.random.RandomState(0)
    with RecordWriter(folder / "train.rec", folder / "train.idx") as writer:
        for key in range(IMAGES):
            noise = drawn.randint(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
            image = cv2.normalize(
                cv2.GaussianBlur(noise, (0, 0), 1.2), None, 0, 255, cv2.NORM_MINMAX
            )
            ENCODED.append(cv2.imencode(".jpg", image)[1].tobytes())
            writer.write(key, pack(key % 7, key, ENCODED[-1]))
    return folder / "train.rec"


def decode(part: range) -> int:
    """Decode some of the images, and drop the pixels."""
    for i in part:
        cv2.imdecode(np.frombuffer(ENCODED[i], np.uint8), cv2.IMREAD_COLOR)
    return len(part)


def decode_only(pool: Executor) -> Callable[[], int]:
    """Return what decodes all images by a pool."""
    parts = [range(i, i + 64) for i in range(0, IMAGES, 64)]
    return lambda: sum(pool.map(decode, parts))


def epoch(iterator: Any) -> Callable[[], int]:
    """Return what takes all batches of an epoch, and counts the images."""

    def run() -> int:
        count = 0
        iterator.reset()
        for batch in iter(lambda: next(iterator, None), None):
            # As the executor does when it copies the batch to a device.
            batch.data[0].wait_to_read()
            count += batch.data[0].shape[0]
        return count

    return run


def resident() -> float:
    """Return the memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def quietly(call: Callable[[], Any]) -> Any:
    """Call what prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return call()


def rates(runs: Sequence[Callable[[], int]]) -> list[float]:
    """Return the median of images a second of each."""
    measured: list[list[float]] = [[] for _ in runs]
    for turn in range(ROUNDS):
        for which in range(len(runs)) if turn % 2 else reversed(range(len(runs))):
            began = time.perf_counter()
            count = quietly(runs[which])
            measured[which].append(count / (time.perf_counter() - began))
    return [statistics.median(each) for each in measured]


def main(workspace: Path) -> None:
    """Measure and print the table."""
    sys.path[:0] = [str(workspace / "src")]
    image_feed, image_iter, mx = map(importlib.import_module, ("image_feed", "image_iter", "mxnet"))
    logging.disable(logging.INFO)
    shape = (3, SIDE, SIDE)
    with tempfile.TemporaryDirectory() as place:
        records = draw(Path(place))
        options = {"path_imgrec": str(records), "shuffle": True, "rand_mirror": True}
        print(
            f"{IMAGES:,} JPEGs of {records.stat().st_size / IMAGES / 1000:.1f} KB, "
            f"{os.cpu_count()} cores, medians of {ROUNDS}; images a second"
        )
        print(
            "batch workers  upstream      feed  decode only (threads, processes)  ImageRecordIter"
            "   feed/upstream /decode /ImageRecordIter"
        )
        for batch in (128, 512):
            for workers in (1, 2, 4):
                feed = quietly(
                    lambda batch=batch, workers=workers: image_feed.ImageFeed(
                        batch, shape, workers=workers, prefetch=4, **options
                    )
                )
                theirs = mx.io.ImageRecordIter(
                    path_imgrec=str(records),
                    path_imgidx=str(records.with_suffix(".idx")),
                    data_shape=shape,
                    batch_size=batch,
                    shuffle=True,
                    rand_mirror=True,
                    preprocess_threads=workers,
                    round_batch=False,
                )
                with (
                    ThreadPoolExecutor(workers) as threads,
                    ProcessPoolExecutor(
                        workers, mp_context=multiprocessing.get_context("fork")
                    ) as processes,
                ):
                    one, ours, thread, process, record = rates(
                        [
                            epoch(
                                quietly(
                                    lambda batch=batch: image_iter.FaceImageIter(
                                        batch, shape, **options
                                    )
                                )
                            ),
                            epoch(feed),
                            decode_only(threads),
                            decode_only(processes),
                            epoch(theirs),
                        ]
                    )
                print(
                    f"{batch:>5} {workers:>7} {one:>9,.0f} {ours:>9,.0f} {thread:>21,.0f} "
                    f"{process:>11,.0f} {record:>16,.0f} {ours / one:>14.1f} {ours / thread:>8.0%} "
                    f"{ours / record:>14.1f}",
                    flush=True,
                )
                feed.close()
        memory(image_feed, shape, options)


def memory(image_feed: Any, shape: tuple[int, int, int], options: dict[str, Any]) -> None:
    """Print how the memory grows over ten epochs of batches of 512."""
    before = resident()
    feed = quietly(lambda: image_feed.ImageFeed(512, shape, workers=2, prefetch=4, **options))
    grown = []
    for _ in range(10):
        feed.reset()
        most = 0.0
        for batch in iter(lambda: next(feed, None), None):
            batch.data[0].wait_to_read()
            most = max(most, resident() - before)
        grown.append(most)
    ahead = 4 * 512 * int(np.prod(shape)) * 4 / 1e6
    print(
        f"4 batches of 512 ahead are {ahead:,.0f} MB; the process grew by "
        f"{grown[0]:,.0f} MB at most in the first epoch, {grown[-1]:,.0f} MB in the tenth"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "insightface").resolve())
