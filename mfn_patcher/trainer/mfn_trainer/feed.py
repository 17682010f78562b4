"""The batches of upstream's iterator, decoded by threads ahead of the training step.

Python's lock is free while images are read and decoded, so threads share the work. All that is
random is drawn in the order of upstream's iterator by whoever asks for batches. The threads only
read, decode, and write to the place of an image in its batch.
"""

from __future__ import annotations

import itertools
import logging
import queue
import sys
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import mxnet as mx
import numpy as np
import numpy.typing as npt

from . import pixels
from .engine import ON_TORCH, host_array
from .order import COLUMN, MIRRORED, ROW, FaceImageIter, Order
from .recordio import RecordReader, unpack

# Images that a thread decodes at a time: enough to make handing out cheap, few enough that all
# threads finish a batch together.
_PIECE = 16
_GRAY, _SCALE = 127.5, np.float32(0.0078125)
_MOST_KEYS_SHOWN = 20

_log = logging.getLogger()  # the script's own lines also go to the root logger


@dataclass(frozen=True)
class Settings:
    """How a feed works.

    Attributes:
        path: path of the record file.
        workers: number of threads that decode; 0 to decode when a batch is asked for.
        prefetch: number of batches that they decode ahead.
        classes: number of classes that labels may name; None to take any label.
        replace: whether another image of its batch takes the place of one that cannot be decoded,
            so that all workers of a cluster have equally many batches; else the next image does.
    """

    path: str
    workers: int
    prefetch: int
    classes: int | None = None
    replace: bool = False


class Pick(NamedTuple):
    """An image of a batch: its key, whether it is mirrored, and the middle of its cut-out."""

    key: int
    mirrored: bool
    middle: tuple[int, int] | None


@dataclass
class Batch:
    """A batch in the making.

    Attributes:
        begin: place in the epoch before its first image.
        state: what the order's `restore` takes to go back there.
        data: array for the images, shape (images, 3, height, width), of whole numbers if they stay
            as they are decoded.
        label: array for the labels.
        picks: its images.
        pieces: keys of images that cannot be decoded, for each part of it.
    """

    begin: int
    state: object
    data: npt.NDArray[Any]
    label: npt.NDArray[np.float32]
    picks: list[Pick] = field(default_factory=list)
    pieces: list[Future[list[int]]] = field(default_factory=list)

    def broken(self) -> list[int]:
        """Return the keys of images that cannot be decoded, once all of it has been tried."""
        return sorted({key for piece in self.pieces for key in piece.result()})


_Job = tuple[Future[list[int]], Batch, int]


def references(objects: Sequence[object]) -> list[int]:
    """Return how many references there are to each object, as the interpreter counts them."""
    return [sys.getrefcount(each) for each in objects]


# Reference count of an object held only by a list; interpreters count the loop and the call
# differently.
(_UNUSED,) = references([object()])


class _Memory:
    """Arrays for the images of batches, reused once nothing else refers to them.

    New memory is slow to write to, page by page.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type, most: int) -> None:
        self._shape, self._dtype, self._most = shape, dtype, most
        self._arrays: list[npt.NDArray[Any]] = []

    def take(self) -> npt.NDArray[Any] | None:
        """Return an array; None if the maximum number exists and all are in use."""
        for array, holders in zip(self._arrays, references(self._arrays)):
            if holders == _UNUSED:
                return array
        if len(self._arrays) >= self._most:
            return None
        self._arrays.append(self.extra())
        return self._arrays[-1]

    def extra(self) -> npt.NDArray[Any]:
        """Return an array that will not be used again."""
        return host_array(self._shape, self._dtype)


class Feed:
    """An iterator over batches, as ``Module.fit`` takes it.

    Images that cannot be decoded are skipped, or replaced by others of their batch, and reported.
    Anything else that is wrong with a record ends the script with a message.

    Attributes:
        provide_data: name and shape of the images of a batch.
        provide_label: name and shape of the labels of a batch.
        batch_size: number of images per batch.
        skipped: number of images that could not be decoded so far.
    """

    def __init__(self, source: FaceImageIter, order: Order, settings: Settings) -> None:
        self._source, self._order, self._settings = source, order, settings
        self.provide_data, self.provide_label = source.provide_data, source.provide_label
        self.batch_size = source.batch_size
        self.skipped = 0
        self._place = 0
        self._begun = False
        self._prefetch = settings.prefetch if settings.workers else 1
        self._ahead: deque[Batch] = deque()
        # Training still holds the last batch while it asks for the next one.
        shape = (source.batch_size, *source.data_shape)
        # Decoded images consist of bytes; MXNet would compute with bytes instead of numbers.
        as_decoded = ON_TORCH and source.mean is None and source.cutoff <= 0
        self._memory = _Memory(
            shape, np.uint8 if as_decoded else np.float32, max(self._prefetch + 1, 3)
        )
        # Records without an image: those that describe identities, and broken ones.
        identities = getattr(source, "seq_identity", None)
        self._without_image = set() if identities is None else {0, *identities}
        self._reader = RecordReader(settings.path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Not an executor, which never ends if Ctrl-C comes while it starts a thread.
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(settings.workers)
        ]
        for thread in self._threads:
            thread.start()

    def num_samples(self) -> int:
        """Return the number of images in the data set."""
        return len(self._source.imgidx)

    def close(self) -> None:
        """End the threads; one that is decoding when Python ends would abort the process."""
        self._drop()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    # -- what Module.fit calls ------------------------------------------------------------------

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Any:
        return self.next()

    def reset(self) -> None:
        """Begin the next epoch."""
        if self._ahead:
            self._rewind()
        self._place = 0
        self._begun = True
        self._order.reset()

    def go_to(self, epoch: int, batch: int) -> None:
        """Go to a batch of an epoch, both counted from 0; the order must have a seed."""
        self._drop()
        self._order.go_to(epoch)
        self._place = batch * self.batch_size
        self._begun = True

    def next(self) -> Any:
        """Return the next batch, an ``mx.io.DataBatch``.

        Raises:
            StopIteration: The epoch has too few images left for a batch.
            SystemExit: The data set cannot be trained on; the message says why.
        """
        if not self._begun:
            self.reset()
        while True:
            self._fill()
            if not self._ahead:
                raise StopIteration
            if not self._settings.workers:
                self._work_off()
            broken = self._ahead[0].broken()
            if not broken:
                break
            if self._settings.replace:
                self._replace(self._ahead[0], broken)
                break
            self._skip()
        batch = self._ahead.popleft()
        self._fill()
        # MXNet holds the array that it is given, so it is given a view of the one that is counted.
        data, label = mx.nd.from_numpy(batch.data[:]), mx.nd.from_numpy(batch.label)
        return mx.io.DataBatch([data], [label], 0)

    # -- planning -------------------------------------------------------------------------------

    def _fill(self) -> None:
        while len(self._ahead) < self._prefetch and self._plan():
            pass

    def _plan(self) -> bool:
        """Begin one more batch; return whether there were enough images and memory."""
        data = self._memory.take()
        if data is None:
            if self._ahead:
                return False
            data = self._memory.extra()
        label = np.empty(self.batch_size, dtype=np.float32)
        batch = Batch(self._place, self._order.state(), data, label)
        while len(batch.picks) < self.batch_size:
            if self._place >= len(self._order.keys):
                return False
            pick = self._pick(self._place)
            self._place += 1
            if pick.key not in self._without_image:
                batch.picks.append(pick)
        for begin in range(0, self.batch_size, _PIECE):
            batch.pieces.append(Future())
            self._jobs.put((batch.pieces[-1], batch, begin))
        self._ahead.append(batch)
        return True

    def _pick(self, place: int) -> Pick:
        source, draw = self._source, self._order.draw
        _, height, width = source.data_shape
        mirrored = bool(source.rand_mirror) and draw(place, MIRRORED, 1) == 1
        middle = None
        if source.cutoff > 0:
            middle = draw(place, ROW, height - 1), draw(place, COLUMN, width - 1)
        return Pick(int(self._order.keys[place]), mirrored, middle)

    def _drop(self) -> None:
        """Forget the batches ahead; pieces that no thread has started are not made."""
        for batch in self._ahead:
            for piece in batch.pieces:
                piece.cancel()
        self._ahead.clear()

    def _rewind(self) -> None:
        """Go back to where upstream's iterator would be, which has no batch ahead."""
        self._place = self._ahead[0].begin
        self._order.restore(self._ahead[0].state)
        self._drop()

    # -- decoding -------------------------------------------------------------------------------

    def _work(self) -> None:
        for job in iter(self._jobs.get, None):
            self._do(*job)

    def _work_off(self) -> None:
        """Decode all that is planned, without threads."""
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                self._do(*job)

    def _do(self, piece: Future[list[int]], batch: Batch, begin: int) -> None:
        if not piece.set_running_or_notify_cancel():
            return
        try:
            piece.set_result(self._make(batch, begin))
        except (OSError, ValueError) as error:
            # Whoever takes the batch ends with it.
            piece.set_exception(self._refusal(str(error)))
        except BaseException as error:
            piece.set_exception(error)

    def _make(self, batch: Batch, begin: int) -> list[int]:
        """Decode a part of a batch; return the keys of images that cannot be decoded."""
        broken = []
        for number in range(begin, min(begin + _PIECE, self.batch_size)):
            key, mirrored, middle = batch.picks[number]
            record = unpack(self._reader.read(self._source.imgrec.idx[key]))
            self._check_label(key, record.labels[0])
            img = pixels.decode(record.content)
            if img is None:
                broken.append(key)
                continue
            out = batch.data[number]
            try:
                pixels.write(img, out, mirrored)
            except ValueError as error:
                raise ValueError(f"record {key}: {error}") from error
            batch.label[number] = record.labels[0]
            self._change(out, middle)
        return broken

    def _check_label(self, key: int, label: float) -> None:
        classes = self._settings.classes
        # The loss would silently take such a label for another class.
        if classes is not None and (not 0 <= label < classes or not label.is_integer()):
            raise ValueError(
                f"record {key} has label {label:g}, but the labels of {classes} classes are 0 to "
                f"{classes - 1}"
            )

    def _change(self, out: npt.NDArray[Any], middle: tuple[int, int] | None) -> None:
        """Subtract the mean from an image and cut a square out of it, if asked for."""
        if self._source.mean is not None:
            out -= self._source.mean.reshape((3, 1, 1))
            out *= _SCALE
        if middle is not None:
            half = self._source.cutoff // 2
            y, x = max(0, middle[0] - half), max(0, middle[1] - half)
            out[:, y : middle[0] + half, x : middle[1] + half] = _GRAY

    # -- images that cannot be decoded -----------------------------------------------------------

    def _replace(self, batch: Batch, broken: list[int]) -> None:
        """Put other images of a batch in the places of broken ones."""
        bad = [number for number, pick in enumerate(batch.picks) if pick.key in broken]
        good = [number for number in range(self.batch_size) if number not in bad]
        if not good:
            raise self._refusal(f"no image of a batch can be decoded: records {_shown(broken)}")
        for number, other in zip(bad, itertools.cycle(good)):
            batch.data[number] = batch.data[other]
            batch.label[number] = batch.label[other]
        self._report(broken, len(bad), "replaced by others of their batch")

    def _skip(self) -> None:
        """Plan without the broken images of the batches ahead from now on."""
        if not self._settings.workers:
            self._work_off()
        broken = sorted({key for batch in self._ahead for key in batch.broken()})
        self._report(broken, len(broken), "skipped")
        images = self.num_samples()
        if images - self.skipped < self.batch_size:
            raise self._refusal(
                f"{self.skipped} of {images} images cannot be decoded, and the others are fewer "
                "than a batch"
            )
        self._without_image.update(broken)
        self._rewind()

    def _report(self, broken: list[int], count: int, done: str) -> None:
        self.skipped += count
        _log.warning(
            "%s: records that cannot be decoded are %s: %s; %d so far",
            self._settings.path,
            done,
            _shown(broken),
            self.skipped,
        )

    def _refusal(self, reason: str) -> SystemExit:
        """Return what ends the script."""
        return SystemExit(
            f"{self._settings.path} cannot be trained on: {reason}; run `mfn-patch data check` "
            "for details"
        )


def _shown(keys: Sequence[int]) -> str:
    more = f" and {len(keys) - _MOST_KEYS_SHOWN} more" if len(keys) > _MOST_KEYS_SHOWN else ""
    return ", ".join(map(str, keys[:_MOST_KEYS_SHOWN])) + more
