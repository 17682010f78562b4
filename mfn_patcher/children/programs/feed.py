"""How fast a data set is fed to training, and what each part of that reaches alone.

Run by the training interpreter in a patched workspace:

    python feed.py REQUEST

REQUEST is a JSON object: "source" is upstream's src folder, "records" the path of train.rec,
"image" height and width, "batch_size" images, "workers" lists how many threads to try, "seconds"
is how long a turn of one contender lasts, and "rounds" how many turns each gets. The last line of
standard output is a JSON object of images a second: "disk" reads records at random places that the
system was asked to forget; "upstream" is FaceImageIter, null where it ends with "upstream_error";
"feeds" has "workers", "feed" and "decode", which decodes images in memory and drops them. "cores"
are those that this process may use, and "image_bytes" is the mean size of a record. "error" is what
makes all of it impossible.
"""

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
from concurrent.futures import ThreadPoolExecutor

SAMPLE = 4096  # images to read, and to decode from memory
PIECE = 16


class Turns:
    """What an iterator gives in some seconds, again and again."""

    def __init__(self, iterator, ahead):
        self._iterator = iterator
        self._ahead = ahead
        self._iterator.reset()

    def _take(self):
        batch = next(self._iterator, None)
        while batch is None:
            self._iterator.reset()
            batch = next(self._iterator, None)
        batch.data[0].wait_to_read()
        return batch.data[0].shape[0]

    def __call__(self, seconds):
        """Return images a second."""
        for _ in range(self._ahead):  # what was made ready while others had their turn
            self._take()
        return rate(self._take, seconds)


def rate(step, seconds):
    """Return how many a second come of calling `step`, which returns how many it has done."""
    count, began = 0, time.perf_counter()
    while True:
        count += step()
        took = time.perf_counter() - began
        if took >= seconds:
            return count / took


def read_forgotten(path, places, workers):
    """Return how many records a second come from the disk, at places of (offset, size)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for offset, size in places:
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        with ThreadPoolExecutor(workers) as pool:
            began = time.perf_counter()
            list(pool.map(lambda place: os.pread(descriptor, place[1], place[0]), places))
            return len(places) / (time.perf_counter() - began)
    finally:
        os.close(descriptor)


def measure(request):
    """Return the answer."""
    sys.path.insert(0, request["source"])
    import image_feed
    import pixels
    from image_iter import FaceImageIter

    path, size, seconds = request["records"], request["batch_size"], request["seconds"]
    options = {
        "path_imgrec": path,
        "data_shape": (3, *request["image"]),
        "shuffle": True,
        "rand_mirror": True,
    }
    upstream = FaceImageIter(size, **options)
    if len(upstream.imgidx) < size:
        return {"error": f"there are {len(upstream.imgidx)} images, too few for a batch of {size}"}
    index = upstream.imgrec.idx
    offsets = sorted(index.values())
    ends = [*offsets[1:], os.path.getsize(path)]
    keys = random.sample(list(upstream.imgidx), min(SAMPLE, len(upstream.imgidx)))
    places = [
        (index[key], ends[bisect.bisect_left(offsets, index[key])] - index[key]) for key in keys
    ]
    most = max(request["workers"])
    disk = read_forgotten(path, places, most)
    reader = image_feed.Reader(path)
    encoded = [reader.read_at(offset)[1] for offset, _ in places]

    def decode(begin):
        piece = encoded[begin : begin + PIECE]
        for one in piece:
            pixels.decode(one)
        return len(piece)

    def decode_all(pool, seconds):
        return rate(lambda: sum(pool.map(decode, range(0, len(encoded), PIECE))), seconds)

    with contextlib.ExitStack() as stack:
        turns = {}
        for workers in request["workers"]:
            feed = image_feed.ImageFeed(size, workers=workers, prefetch=4, **options)
            stack.callback(feed.close)
            turns["feed", workers] = Turns(feed, 4)
            pool = stack.enter_context(ThreadPoolExecutor(workers))
            turns["decode", workers] = functools.partial(decode_all, pool)
        turns["upstream", 0] = Turns(upstream, 0)
        rates, failed = {name: [] for name in turns}, None
        for number in range(request["rounds"]):
            order = list(turns) if number % 2 else list(reversed(turns))
            for name in order:
                try:
                    rates[name].append(turns[name](seconds))
                except Exception as error:
                    if name[0] != "upstream":
                        raise
                    failed = str(error).strip().splitlines()[-1]
                    del turns[name]
    found = {name: statistics.median(values) for name, values in rates.items() if values}
    return {
        "disk": disk,
        "upstream": None if failed else found["upstream", 0],
        "upstream_error": failed,
        "feeds": [
            {"workers": workers, "feed": found["feed", workers], "decode": found["decode", workers]}
            for workers in request["workers"]
        ],
        "cores": pixels.cores(),
        "image_bytes": sum(size for _, size in places) / len(places),
    }


def main():
    """Answer the request; what upstream prints goes to standard error."""
    logging.disable(logging.INFO)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = measure(json.loads(sys.argv[1]))
        except (Exception, SystemExit) as error:  # the feed ends the script with a sentence
            answer = {"error": str(error).strip().splitlines()[-1] if str(error) else repr(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
