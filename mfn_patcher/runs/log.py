"""Reading a log of the training script, whole or while it grows."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Protocol

from mfn_patcher.encoding import detect
from mfn_patcher.runs.events import Event, LearningRate, Progress, Resumed, TrainingSet
from mfn_patcher.runs.log_reader import LogReader

_CHUNK = 1 << 20  # bytes
_BOM_BYTES = 4  # of the longest byte order mark
# The longest line of the script, its arguments, has about a thousand characters. Anything longer
# than this is not text, and must not fill the memory.
_LONGEST_LINE = 1 << 16  # bytes
# Events of lines whose last number has no fixed length: cut short, they read as another number.
_OF_ANY_LENGTH = (LearningRate, Progress, Resumed, TrainingSet)


class LogStream:
    """Turns the bytes of a log into events as they arrive, in chunks of any size.

    The text is UTF-8, or UTF-16 and the like if PowerShell wrote the log.
    """

    def __init__(self) -> None:
        self._reader = LogReader()
        self._rest = b""
        self._skipping = False
        self._start: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events of the lines that are now complete; the rest is kept for later."""
        chunk = self._as_utf8(chunk)
        *lines, rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        if lines and self._skipping:
            del lines[0]
            self._skipping = False
        if len(rest) > _LONGEST_LINE:
            rest, self._skipping = b"", True
        self._rest = rest
        feed = self._reader.feed
        return [event for line in lines if line for event in feed(line.decode("utf-8", "replace"))]

    def end(self) -> list[Event]:
        """Return the events of an unterminated last line that cannot be cut short."""
        if self._start is not None:
            self._rest = self._begin(self._start)
        rest, self._rest = self._rest, b""
        if self._skipping:
            return []
        events = self._reader.feed(rest.decode("utf-8", "replace"))
        return [event for event in events if not isinstance(event, _OF_ANY_LENGTH)]

    def _as_utf8(self, chunk: bytes) -> bytes:
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < _BOM_BYTES:
                self._start = chunk
                return b""
            return self._begin(chunk)
        return self._decoder.decode(chunk).encode() if self._decoder else chunk

    def _begin(self, start: bytes) -> bytes:
        """Take the first bytes, which determine the encoding; return them as UTF-8."""
        self._start = None
        encoding = detect(start)
        if encoding != "utf-8":
            self._decoder = codecs.getincrementaldecoder(encoding)("replace")
            return self._decoder.decode(start).encode()
        return start


class Watcher(Protocol):
    """Watches the output of a run."""

    def heard(self, chunk: bytes) -> None:
        """Take the output since the last call; empty at the end."""

    def tick(self) -> None:
        """Do what is due; called many times a second, whether there is output or not."""


class EventDispatcher:
    """Reads a log as it grows and passes its events on; a `Watcher` itself.

    Args:
        keep: gets the events first, all those that arrived together.
        consumers: get each event, in this order.
        watchers: get the output before its events are passed on, but not its end.
    """

    def __init__(
        self,
        keep: Callable[[Sequence[Event]], None],
        *consumers: Callable[[Event], None],
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self._keep = keep
        self._consumers = consumers
        self._watchers = watchers
        self._stream = LogStream()

    def heard(self, chunk: bytes) -> None:
        """Take the output since the last call; empty at the end."""
        for watcher in self._watchers if chunk else ():
            watcher.heard(chunk)
        events = self._stream.feed(chunk) if chunk else self._stream.end()
        if events:
            self._keep(events)
        for event in events:
            for consume in self._consumers:
                consume(event)

    def tick(self) -> None:
        """Let the watchers do what is due."""
        for watcher in self._watchers:
            watcher.tick()


def read_events(file: BinaryIO) -> Iterator[Event]:
    """Yield the events of a log, to its end."""
    stream = LogStream()
    while chunk := file.read(_CHUNK):
        yield from stream.feed(chunk)
    yield from stream.end()
