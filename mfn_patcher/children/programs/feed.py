"""Measure how fast a data set is fed to training, and how fast each part of that is alone.

    feed REQUEST

REQUEST is a JSON object: "source" is upstream's src folder, "records" the path of train.rec,
"image" its height and width, "batch_size" a number of images, "workers" lists how many threads to
try, "seconds" is how long a turn of one contender lasts, and "rounds" how many turns each gets. The
last line of standard output is a JSON object of images per second: "disk" reads records at random
offsets that the system was asked to forget; "upstream" is FaceImageIter, null where it fails with
"upstream_error"; "feeds" has "workers", "feed" and "decode", which decodes images in memory and
drops them. "cores" are those that this process may use, "image_bytes" is the mean size of a record,
and "error" says why nothing could be measured.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import json
import logging
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SAMPLE = 4096  # images to read, and to decode from memory
PIECE = 16
AHEAD = 4  # batches that are decoded ahead of training

Turn = Callable[[float], float]
"""Measures one contender for some seconds; returns images per second."""


class IteratorTurn:
    """Repeatedly takes batches from an iterator for some seconds."""

    def __init__(self, iterator: Any, ahead: int) -> None:
        """Reset the iterator.

        Args:
            iterator: an iterator like upstream's, which repeats the same data set.
            ahead: number of batches that it prepares while others have their turn.
        """
        self._iterator = iterator
        self._ahead = ahead
        self._iterator.reset()

    def _take(self) -> int:
        batch = next(self._iterator, None)
        while batch is None:
            self._iterator.reset()
            batch = next(self._iterator, None)
        batch.data[0].wait_to_read()
        return int(batch.data[0].shape[0])

    def __call__(self, seconds: float) -> float:
        """Return images per second."""
        for _ in range(self._ahead):
            self._take()
        return rate(self._take, seconds)


def rate(step: Callable[[], int], seconds: float) -> float:
    """Call `step`, which returns how many it has done, for some seconds; return the rate."""
    count, began = 0, time.perf_counter()
    while True:
        count += step()
        took = time.perf_counter() - began
        if took >= seconds:
            return count / took


class Sample:
    """Some records of a data set, at random offsets."""

    def __init__(self, path: Path, index: Mapping[int, int], keys: Sequence[int]) -> None:
        """Find the records.

        Args:
            path: path of train.rec.
            index: offset of each record in it, by key.
            keys: keys of the images.
        """
        self._path = path
        offsets = sorted(index.values())
        ends = [*offsets[1:], path.stat().st_size]
        self.places = [
            (index[key], ends[bisect.bisect_left(offsets, index[key])] - index[key])
            for key in random.sample(list(keys), min(SAMPLE, len(keys)))
        ]
        """Offset and size of each, in bytes."""

    @property
    def mean_size(self) -> float:
        """Mean size of a record, in bytes."""
        return sum(size for _, size in self.places) / len(self.places)

    def read_from_disk(self, workers: int) -> float:
        """Read all of them after the system was asked to forget them; return records per second."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            for offset, size in self.places:
                os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            with ThreadPoolExecutor(workers) as pool:
                began = time.perf_counter()
                list(pool.map(lambda place: os.pread(descriptor, place[1], place[0]), self.places))
                return len(self.places) / (time.perf_counter() - began)
        finally:
            os.close(descriptor)


def decode_turn(images: Sequence[bytes], pool: ThreadPoolExecutor) -> Turn:
    """Return a turn that decodes images in the threads of a pool, and drops them."""
    from mfn_patcher.trainer.mfn_trainer import pixels

    def decode(begin: int) -> int:
        piece = images[begin : begin + PIECE]
        for one in piece:
            pixels.decode(one)
        return len(piece)

    def decode_all() -> int:
        return sum(pool.map(decode, range(0, len(images), PIECE)))

    return functools.partial(rate, decode_all)


def take_turns(
    turns: dict[tuple[str, int], Turn], rounds: int, seconds: float
) -> tuple[dict[tuple[str, int], float], str | None]:
    """Let all contenders have their turns, so that noise of the machine affects all equally.

    Args:
        turns: contenders by their kind and number of threads.
        rounds: number of turns of each.
        seconds: how long a turn lasts.

    Returns:
        The median rates, and why upstream's iterator failed, which is then missing.
    """
    rates: dict[tuple[str, int], list[float]] = {name: [] for name in turns}
    failed = None
    for number in range(rounds):
        order = list(turns) if number % 2 else list(reversed(turns))
        for name in order:
            try:
                rates[name].append(turns[name](seconds))
            except Exception as error:
                if name[0] != "upstream":
                    raise
                failed = str(error).strip().splitlines()[-1]
                del turns[name]
    return {name: statistics.median(values) for name, values in rates.items() if values}, failed


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a request."""
    sys.path.insert(0, request["source"])
    from image_iter import FaceImageIter

    from mfn_patcher.trainer.mfn_trainer import threads
    from mfn_patcher.trainer.mfn_trainer.feed import Feed, Settings
    from mfn_patcher.trainer.mfn_trainer.order import UpstreamOrder
    from mfn_patcher.trainer.mfn_trainer.recordio import RecordReader, unpack

    path, size = Path(request["records"]), request["batch_size"]
    options = {
        "path_imgrec": str(path),
        "data_shape": (3, *request["image"]),
        "shuffle": True,
        "rand_mirror": True,
    }
    upstream = FaceImageIter(size, **options)
    if len(upstream.imgidx) < size:
        return {"error": f"there are {len(upstream.imgidx)} images, too few for a batch of {size}"}
    sample = Sample(path, upstream.imgrec.idx, upstream.imgidx)
    disk = sample.read_from_disk(max(request["workers"]))
    with RecordReader(path) as reader:
        encoded = [unpack(reader.read(offset)).content for offset, _ in sample.places]
    with contextlib.ExitStack() as stack:
        turns: dict[tuple[str, int], Turn] = {}
        for workers in request["workers"]:
            source = FaceImageIter(size, **options)
            feed = Feed(source, UpstreamOrder(source), Settings(str(path), workers, AHEAD))
            stack.callback(feed.close)
            turns["feed", workers] = IteratorTurn(feed, AHEAD)
            pool = stack.enter_context(ThreadPoolExecutor(workers))
            turns["decode", workers] = decode_turn(encoded, pool)
        turns["upstream", 0] = IteratorTurn(upstream, 0)
        found, failed = take_turns(turns, request["rounds"], request["seconds"])
    return {
        "disk": disk,
        "upstream": None if failed else found["upstream", 0],
        "upstream_error": failed,
        "feeds": [
            {"workers": workers, "feed": found["feed", workers], "decode": found["decode", workers]}
            for workers in request["workers"]
        ],
        "cores": threads.cores(),
        "image_bytes": sample.mean_size,
    }


def main() -> None:
    """Answer the request; what upstream prints goes to standard error."""
    logging.disable(logging.INFO)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = measure(json.loads(sys.argv[1]))
        except (Exception, SystemExit) as error:  # the feed ends the script with a sentence
            answer = {"error": str(error).strip().splitlines()[-1] if str(error) else repr(error)}
    print(json.dumps(answer))
