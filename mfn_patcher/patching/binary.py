"""Binary patches as git writes them: zlib in base 85, a whole file or a delta to its pre-image."""

from __future__ import annotations

import base64
import re
import string
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

START = b"GIT binary patch"

_BLOCK = re.compile(rb"(literal|delta) (\d+)")
_LARGEST = 1 << 28  # bytes; what a patch claims to contain is not taken on trust
_SIZES = string.ascii_letters.swapcase().encode()  # a line's number of bytes, from 1
_COPY, _SIZE_OF_ALL = 0x80, 0x10000


class BinaryPatchError(ValueError):
    """A binary patch that is damaged, or was made for another pre-image."""


@dataclass(frozen=True)
class BinaryChange:
    """The change of a binary file.

    Attributes:
        data: the post-image, or the delta to it.
        is_delta: whether `data` is a delta.
    """

    data: bytes
    is_delta: bool

    def apply(self, before: bytes) -> bytes:
        """Return the post-image.

        Raises:
            BinaryPatchError: the delta was made for another pre-image.
        """
        return _apply_delta(self.data, before) if self.is_delta else self.data


def parse(lines: Sequence[bytes]) -> tuple[BinaryChange, int]:
    """Parse the lines after `START`: the change, and the one that undoes it, if there is one.

    Returns:
        The change, and the number of lines that were read.

    Raises:
        BinaryPatchError: the lines do not have git's format.
    """
    change, at = _parse_block(lines, 0)
    if at < len(lines) and _BLOCK.fullmatch(lines[at]):
        _, at = _parse_block(lines, at)
    return change, at


def _parse_block(lines: Sequence[bytes], at: int) -> tuple[BinaryChange, int]:
    head = _BLOCK.fullmatch(lines[at]) if at < len(lines) else None
    if not head:
        raise BinaryPatchError("expected 'literal' or 'delta'")
    size = int(head[2])
    if size > _LARGEST:
        raise BinaryPatchError(f"a file of {size} bytes is too large")
    packed = b""
    at += 1
    while at < len(lines) and lines[at]:
        packed += _decode(lines[at])
        at += 1
    unpack = zlib.decompressobj()
    try:
        data = unpack.decompress(packed, size + 1)
    except zlib.error as error:
        raise BinaryPatchError(str(error)) from error
    if len(data) != size or not unpack.eof:
        raise BinaryPatchError(f"it does not have the {size} bytes that it says")
    return BinaryChange(data, head[1] == b"delta"), at + 1  # an empty line ends the block


def _decode(line: bytes) -> bytes:
    size = _SIZES.find(line[:1]) + 1
    if not size:
        raise BinaryPatchError("a line has no length")
    try:
        data = base64.b85decode(line[1:])
    except ValueError as error:
        raise BinaryPatchError(str(error)) from error
    if not size <= len(data) < size + 4:
        raise BinaryPatchError("a line does not have the length that it says")
    return data[:size]


def _apply_delta(delta: bytes, before: bytes) -> bytes:
    """Apply a delta of git's pack format."""
    try:
        source, at = _number(delta, 0)
        target, at = _number(delta, at)
        after = bytearray()
        while at < len(delta):
            code, at = delta[at], at + 1
            if code & _COPY:
                values = []
                for bits in (range(4), range(4, 7)):
                    value = 0
                    for place, bit in enumerate(bits):
                        if code >> bit & 1:
                            value |= delta[at] << 8 * place
                            at += 1
                    values.append(value)
                start, size = values[0], values[1] or _SIZE_OF_ALL
                piece = before[start : start + size]
            else:
                size = code
                piece = delta[at : at + size]
                at += size
            if not code or len(piece) != size or len(after) + size > target:
                raise BinaryPatchError("the delta is damaged")
            after += piece
    except IndexError as error:
        raise BinaryPatchError("the delta is incomplete") from error
    if (source, target) != (len(before), len(after)):
        raise BinaryPatchError("the delta was made for another file")
    return bytes(after)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte, the lowest first; return it, and the next position."""
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
