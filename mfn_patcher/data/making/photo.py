"""Checking one image file, and encoding it as the training script can read it.

JPEG and PNG files of the right size are copied byte for byte. Everything else becomes a PNG, which
loses nothing and which MXNet reads.
"""

from __future__ import annotations

import enum
import hashlib
import io
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mfn_patcher import files
from mfn_patcher.data.images import read_header
from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.trainer.mfn_trainer.pixels import Pixels, decode
from mfn_patcher.trainer.mfn_trainer.threads import cores

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
"""Suffixes that are tried to find an image that is named without one."""

_SIZE = (IMAGE_SIDE, IMAGE_SIDE)
_LONGEST_SIDE = 8192  # a small file of a huge image would fill the memory
# First bytes of the files that are copied, and the bytes without which one of them is incomplete.
_COPIED = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG\r\n\x1a\n": b"IEND\xaeB`\x82"}
# The first bytes of what phones save, after the length of the header. No decoder here reads it.
_HEIC = {b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")}
_CHUNK = 32  # images per task of a thread


class Reason(str, enum.Enum):
    """Why an image is left out; the values appear in output."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    WRONG_SIZE = "wrong size"
    DUPLICATE = "duplicate"
    FOLDER = "nested folder"
    STRAY = "without identity"


@dataclass(frozen=True)
class Photo:
    """An image that training can use.

    Attributes:
        path: path of the file.
        content: the encoded image, as it goes into the data set.
        digest: 64-bit hash of the file's bytes.
    """

    path: str
    content: bytes
    digest: int


@dataclass(frozen=True)
class LeftOut:
    """An image that is left out.

    Attributes:
        path: path of the file.
        reason: kind of problem.
        detail: the problem, to follow the path in a sentence.
    """

    path: str
    reason: Reason
    detail: str


@dataclass(frozen=True)
class _Problem:
    reason: Reason
    detail: str


def check_photo(path: str, *, resize: bool) -> Photo | LeftOut:
    """Read and decode one image file.

    Args:
        path: path of the file.
        resize: scale square images of another size.
    """
    try:
        content = files.read(Path(path))
    except FileNotFoundError:
        return LeftOut(path, Reason.MISSING, "does not exist")
    except IsADirectoryError:
        return LeftOut(path, Reason.FOLDER, "is a folder inside the folder of an identity")
    except OSError as error:
        detail = f"cannot be read: {error.strerror}"
        return LeftOut(path, Reason.UNREADABLE, detail)
    usable = _encoded(content, resize=resize)
    if isinstance(usable, _Problem):
        return LeftOut(path, usable.reason, usable.detail)
    digest = hashlib.blake2b(content, digest_size=8).digest()
    return Photo(path, usable, int.from_bytes(digest, "little"))


def check_photos(
    numbered: Iterable[tuple[int, str]], *, resize: bool
) -> Iterator[tuple[int, Photo | LeftOut]]:
    """Check many image files in parallel, and yield the results in the order of the files.

    Only a few hundred images are in memory at a time. Threads are enough: reading, hashing and
    decoding all release Python's lock.

    Args:
        numbered: pairs of any number, which is passed through, and the path of a file.
        resize: scale square images of another size.
    """
    workers = cores()
    remaining = iter(numbered)
    pending: deque[Future[list[tuple[int, Photo | LeftOut]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while chunk := list(islice(remaining, _CHUNK)):
                pending.append(pool.submit(_check_chunk, chunk, resize=resize))
                if len(pending) > 2 * workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _check_chunk(
    chunk: Iterable[tuple[int, str]], *, resize: bool
) -> list[tuple[int, Photo | LeftOut]]:
    return [(number, check_photo(path, resize=resize)) for number, path in chunk]


def _encoded(content: bytes, *, resize: bool) -> bytes | _Problem:
    found = _jpeg_size(content)
    if found is None and (header := read_header(content)):
        _, found = header
    if found is None and content[4:12] in _HEIC:
        return _Problem(Reason.UNREADABLE, "is HEIC: convert it to JPEG or PNG")
    if found is None:
        return _Problem(Reason.UNREADABLE, "is not an image" if content else "is empty")
    size = f"is {found[0]}x{found[1]}"
    if found != _SIZE:
        if not resize:
            return _Problem(Reason.WRONG_SIZE, f"{size}, not {IMAGE_SIDE}x{IMAGE_SIDE}")
        if found[0] != found[1]:
            return _Problem(Reason.WRONG_SIZE, f"{size}; scaling would distort the face")
        if found[0] > _LONGEST_SIDE:
            return _Problem(Reason.WRONG_SIZE, f"{size}, which is too large to scale")
    end = next((end for begin, end in _COPIED.items() if content.startswith(begin)), None)
    if end and end not in content:
        return _Problem(Reason.UNREADABLE, "ends early")
    img = decode(content)
    if img is None and not end:
        img = _decode_other(content)
    if img is None:
        return _Problem(Reason.UNREADABLE, "cannot be decoded")
    if found == _SIZE:
        return content if end else _as_png(img)
    method = cv2.INTER_AREA if found[0] > IMAGE_SIDE else cv2.INTER_CUBIC
    return _as_png(cv2.resize(img, _SIZE, interpolation=method))


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG; None if the file is something else or damaged.

    Pillow also finds them, but holds Python's lock for half as long as decoding takes.
    """
    if not content.startswith(b"\xff\xd8"):
        return None
    position = 2
    while position + 9 <= len(content) and content[position] == 0xFF:  # noqa: PLR2004
        marker = content[position + 1]
        # The frame headers: 0xC0 to 0xCF without tables and the reserved marker among them.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # noqa: PLR2004
            height, width = struct.unpack_from(">HH", content, position + 5)
            return width, height
        position += 2 + int(struct.unpack_from(">H", content, position + 2)[0])
    return None


def _decode_other(content: bytes) -> Pixels | None:
    """Decode what Pillow reads and MXNet does not, such as WebP: the first frame, without alpha."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith("I;16") or (image.format, image.mode) == ("PPM", "I"):
                # 16 bits; Pillow would take all values over 255 for white.
                upper: Pixels = (np.asarray(image) >> 8).astype(np.uint8)
                return np.repeat(upper[:, :, np.newaxis], 3, axis=2)
            if image.mode in ("I", "F"):
                return None  # nothing says which of its values is white
            return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    except Exception:
        return None


def _as_png(img: Pixels) -> bytes:
    _, encoded = cv2.imencode(".png", img)
    return bytes(encoded)
