"""How fast training is fed: upstream's iterator, the feed, and what bounds them.

    python benchmarks/feed.py

Images are JPEGs of about 9 KB, as those of MS1M, in a file that the operating system has in
memory. "Decode only" decodes the same bytes from memory, with OpenCV, and drops the pixels.
`ImageRecordIter` is MXNet's own, in C++. The interpreter needs MXNet.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from turns import make_workspace, print_table, seconds, take_turns

from mfn_patcher.data.recordio import RecordWriter, pack
from mfn_patcher.trainer.mfn_trainer import pixels
from mfn_patcher.trainer.mfn_trainer.feed import Feed, Settings
from mfn_patcher.trainer.mfn_trainer.order import UpstreamOrder

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


def decode_all(pool: Executor) -> None:
    """Decode all images by a pool."""
    assert sum(pool.map(decode, [range(i, i + 64) for i in range(0, IMAGES, 64)])) == IMAGES


def take_all(iterator: Any) -> None:
    """Take all batches of an epoch."""
    iterator.reset()
    count = 0
    for batch in iter(lambda: next(iterator, None), None):
        batch.data[0].wait_to_read()
        count += batch.data[0].shape[0]
    assert count == IMAGES


def quietly(call: Callable[[], Any]) -> Any:
    """Return what a call returns, without its output."""
    with contextlib.redirect_stdout(io.StringIO()):
        return call()


def cost(feed: Feed) -> float:
    """Return the CPU time of an image in microseconds, by a feed that decodes without threads."""

    def epoch() -> float:
        began = time.thread_time()
        quietly(partial(take_all, feed))
        return time.thread_time() - began

    return 1e6 / IMAGES * min(epoch() for _ in range(ROUNDS))


def print_costs(feed: Feed) -> None:
    """Print the CPU time per image, and the throughput that it allows."""
    whole = cost(feed)
    ready = pixels.decode(ENCODED[0])
    with mock.patch.multiple(pixels, decode=lambda _: ready, write=lambda *_: None):
        python = cost(feed)
    print_table(
        "CPU time per image in the feed, with one thread",
        ("", "us", "images/s that it allows, calculated"),
        [
            ("all of it", f"{whole:.0f}", f"{16e6 / whole:,.0f} on 16 cores"),
            ("without decoding", f"{python:.1f}", f"{1e6 / python:,.0f} in one process"),
        ],
    )
    print("Only the part other than decoding holds the GIL.")
    print()


def compare(title: str, workers: int, feed: Feed, upstream: Any, record: Any) -> list[str]:
    """Time all contenders in turn; return a row of the table.

    Args:
        title: title of the row.
        workers: number of threads or processes that only decode.
        feed: our feed.
        upstream: upstream's iterator.
        record: MXNet's `ImageRecordIter`.
    """
    fork = multiprocessing.get_context("fork")
    with (
        ThreadPoolExecutor(workers) as threads,
        ProcessPoolExecutor(workers, mp_context=fork) as processes,
    ):
        calls: dict[str, Callable[[], object]] = {
            "feed": partial(take_all, feed),
            "upstream": partial(take_all, upstream),
            "threads": partial(decode_all, threads),
            "processes": partial(decode_all, processes),
            "record": partial(take_all, record),
        }
        decode_all(processes)  # they are forked when first used
        took = take_turns(
            {name: partial(quietly, partial(seconds, call)) for name, call in calls.items()}, ROUNDS
        )
    return [
        title,
        *(f"{IMAGES / value:,.0f}" for value in took.values()),
        f"{took['upstream'] / took['feed']:.1f}",
        f"{took['threads'] / took['feed']:.0%}",
        f"{took['record'] / took['feed']:.2f}",
    ]


def resident() -> float:
    """Return the memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def most_in_epoch(feed: Any) -> float:
    """Return the most memory that the process has while an epoch's batches are taken, in MB."""
    quietly(feed.reset)
    most = 0.0
    for batch in iter(lambda: quietly(partial(next, feed, None)), None):
        batch.data[0].wait_to_read()
        most = max(most, resident())
    return most


def print_memory(grown: Sequence[float]) -> None:
    """Print by how much the memory grew, in MB, in each epoch of a feed."""
    ahead = 4 * 512 * 3 * SIDE * SIDE * 4 / 1e6
    print_table(
        "Memory with 4 prefetched batches of 512, above the memory before",
        ("", "MB"),
        [
            ("these batches alone", f"{ahead:,.0f}"),
            ("at most in the first epoch", f"{grown[0]:,.0f}"),
            ("at most in the tenth epoch", f"{grown[-1]:,.0f}"),
        ],
    )


def main() -> None:
    """Patch a workspace, measure and print the tables."""
    with tempfile.TemporaryDirectory() as place:
        workspace = make_workspace(Path(place))
        sys.path[:0] = [str(workspace / "src")]
        image_iter, mx = map(importlib.import_module, ("image_iter", "mxnet"))
        logging.disable(logging.INFO)
        records = draw(Path(place))
        options = {
            "data_shape": (3, SIDE, SIDE),
            "path_imgrec": str(records),
            "shuffle": True,
            "rand_mirror": True,
        }
        size = records.stat().st_size / IMAGES / 1000

        def make_feed(batch: int, workers: int) -> Feed:
            source = quietly(partial(image_iter.FaceImageIter, batch, **options))
            return Feed(source, UpstreamOrder(source), Settings(str(records), workers, 4))

        before = resident()
        feed = make_feed(512, 2)
        grown = [most_in_epoch(feed) - before for _ in range(10)]
        feed.close()

        print_costs(make_feed(512, 0))
        rows = []
        for batch in (128, 512):
            upstream = quietly(partial(image_iter.FaceImageIter, batch, **options))
            for workers in (1, 2, 4):
                feed = make_feed(batch, workers)
                record = mx.io.ImageRecordIter(
                    path_imgidx=str(records.with_suffix(".idx")),
                    batch_size=batch,
                    preprocess_threads=workers,
                    round_batch=False,
                    **options,
                )
                title = f"batch of {batch}, workers: {workers}"
                rows.append(compare(title, workers, feed, upstream, record))
                feed.close()
        columns = ("feed", "upstream", "decode only, threads", "decode only, processes")
        ratios = ("feed to upstream", "to decode only", "to `ImageRecordIter`")
        print_table(
            f"Images per second, {IMAGES:,} of {size:.1f} KB, median of {ROUNDS}",
            ("", *columns, "`ImageRecordIter`", *ratios),
            rows,
        )
    print_memory(grown)
    print("Target: 6 times upstream with two workers, 60% of decoding only, faster than")
    print("`ImageRecordIter`, and at most 100 MB in addition to the prefetched batches.")


if __name__ == "__main__":
    main()
