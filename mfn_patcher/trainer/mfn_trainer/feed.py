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
# Images to try in a row before giving up.
_MOST_TRIED = 100

_log = logging.getLogger()  # the script's own lines also go to the root logger


@dataclass(frozen=True)
class Settings:
    """How a feed works.

    Attributes:
        path: path of the record file.
        workers: number of threads that decode; 0 to decode when a batch is asked for.
        prefetch: number of batches that they decode ahead.
        classes: number of classes that labels may name; None to take any label.
    """

    path: str
    workers: int
    prefetch: int
    classes: int | None = None


class Pick(NamedTuple):
    """An image of a batch.

    Attributes:
        place: index into the keys of the epoch.
        mirrored: whether it is mirrored.
        middle: row and column of the middle of its cut-out; None for no cut-out.
    """

    place: int
    mirrored: bool
    middle: tuple[int, int] | None


@dataclass
class Batch:
    """A batch in the making.

    Attributes:
        data: array for the images, shape (images, 3, height, width), of whole numbers if they stay
            as they are decoded.
        label: array for the labels.
        picks: its images.
        pieces: keys of images that cannot be decoded, for each part of it.
    """

    data: npt.NDArray[Any]
    label: npt.NDArray[np.float32]
    picks: list[Pick] = field(default_factory=list)
    pieces: list[Future[list[int]]] = field(default_factory=list)

    def broken(self) -> set[int]:
        """Return the keys of images that cannot be decoded, once the batch is made."""
        return {key for piece in self.pieces for key in piece.result()}


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

    In place of an image that cannot be decoded, the batch gets the next one of the epoch that can,
    so that all other images stay where the order puts them. Each is reported once. Anything else
    that is wrong with a record ends the script with a message.

    Attributes:
        provide_data: name and shape of the images of a batch.
        provide_label: name and shape of the labels of a batch.
        batch_size: number of images per batch.
        broken: keys of the images that could not be decoded so far.
    """

    def __init__(self, source: FaceImageIter, order: Order, settings: Settings) -> None:
        self._source, self._order, self._settings = source, order, settings
        self.provide_data, self.provide_label = source.provide_data, source.provide_label
        self.batch_size = source.batch_size
        self.broken: set[int] = set()
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
        # Records that describe identities.
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
        self._drop()
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
        self._fill()
        if not self._ahead:
            raise StopIteration
        if not self._settings.workers:
            self._work_off()
        batch = self._ahead.popleft()
        self._report(batch.broken())
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
        batch = Batch(data, label)
        while len(batch.picks) < self.batch_size:
            if self._place >= len(self._order.keys):
                return False
            pick = self._pick(self._place)
            self._place += 1
            if self._key(pick.place) not in self._without_image:
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
        return Pick(place, mirrored, middle)

    def _key(self, place: int) -> int:
        return int(self._order.keys[place])

    def _drop(self) -> None:
        """Forget the batches ahead; pieces that no thread has started are not made."""
        for batch in self._ahead:
            for piece in batch.pieces:
                piece.cancel()
        self._ahead.clear()

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
            # It is raised where the batch is taken.
            piece.set_exception(self._refusal(str(error)))
        except BaseException as error:
            piece.set_exception(error)

    def _make(self, batch: Batch, begin: int) -> list[int]:
        """Make a part of a batch; return the keys of images that cannot be decoded."""
        broken: list[int] = []
        for number in range(begin, min(begin + _PIECE, self.batch_size)):
            pick, out = batch.picks[number], batch.data[number]
            key, batch.label[number], img = self._decode(pick.place, broken)
            try:
                pixels.write(img, out, pick.mirrored)
            except ValueError as error:
                raise ValueError(f"record {key}: {error}") from error
            self._change(out, pick.middle)
        return broken

    def _decode(self, place: int, broken: list[int]) -> tuple[int, float, pixels.Pixels]:
        """Return key, label and pixels of the first image from a place on that can be decoded.

        Args:
            place: index into the keys of the epoch, whose end is followed by its beginning.
            broken: gets the keys of those that cannot be decoded.
        """
        count = len(self._order.keys)
        following = (self._key(number % count) for number in range(place, place + count))
        images = (key for key in following if key not in self._without_image)
        for key in itertools.islice(images, _MOST_TRIED):
            record = unpack(self._reader.read(self._source.imgrec.idx[key]))
            self._check_label(key, record.labels[0])
            img = pixels.decode(record.content)
            if img is not None:
                return key, record.labels[0], img
            broken.append(key)
        raise ValueError(f"none of these records can be decoded: {_shown(broken)}")

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

    def _report(self, broken: set[int]) -> None:
        found = sorted(broken - self.broken)
        if not found:
            return
        self.broken.update(found)
        _log.warning(
            "%s: records that cannot be decoded are replaced by the next ones: %s; %d so far",
            self._settings.path,
            _shown(found),
            len(self.broken),
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
