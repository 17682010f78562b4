"""Reading a log of the training script, whole or while it grows."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

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


def read_events(file: BinaryIO) -> Iterator[Event]:
    """Yield the events of a log, to its end."""
    stream = LogStream()
    while chunk := file.read(_CHUNK):
        yield from stream.feed(chunk)
    yield from stream.end()
