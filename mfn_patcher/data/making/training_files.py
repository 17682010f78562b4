"""The files of a data set that training reads, and two that say what is in them."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from mfn_patcher.data.recordio import Int64Array, RecordWriter, pack
from mfn_patcher.printable import one_line

IDENTITIES = "identities.txt"
"""The file with the name of each identity, in the order of the labels."""
LIST = "train.lst"
"""The file with the key, label and path of each image, as MXNet's im2rec writes it."""


def identity_names(directory: Path, identities: int) -> list[str]:
    """Return the name of each identity, in the order of the labels; none for other data sets."""
    try:
        names = (directory / IDENTITIES).read_text("utf-8", "replace").split("\n")[:-1]
    except OSError:
        return []
    return names if len(names) == identities else []


class TrainingFiles:
    """Writes images with their labels; a context manager.

    Record 0 says where the identity records are, which follow the images. See
    `mfn_patcher.data.record_layout`.

    Args:
        folder: folder of the files.

    Attributes:
        images: number of images written.
    """

    def __init__(self, folder: Path) -> None:
        self.images = 0
        self._records = RecordWriter(folder / "train.rec", folder / "train.idx")
        self._list = (folder / LIST).open("w+b")
        self._names = (folder / IDENTITIES).open("w", encoding="utf-8")
        self._lines = array("Q")  # where each image's line of the list begins
        self._firsts = array("L")  # the first image of each identity
        self._numbers = array("L")  # the caller's number of each identity
        self._records.write(0, pack([0, 0], 0))

    def __enter__(self) -> TrainingFiles:
        return self

    def __exit__(self, *raised: object) -> None:
        self._records.__exit__(*raised)
        self._list.close()
        self._names.close()

    @property
    def identities(self) -> int:
        """Number of identities that have an image."""
        return len(self._firsts)

    @property
    def firsts(self) -> Int64Array:
        """Key of the first image of each identity."""
        return np.array(self._firsts, dtype=np.int64)

    @property
    def next_key(self) -> int:
        """Key of the next image."""
        return self.images + 1

    def add(self, identity: int, name: str, path: str, content: bytes) -> None:
        """Append an image; those of one identity must follow one another.

        Args:
            identity: the caller's number of the identity.
            name: name of the identity.
            path: path of the image, on one line.
            content: the encoded image.
        """
        key = self.next_key
        if not self._numbers or self._numbers[-1] != identity:
            self._numbers.append(identity)
            self._firsts.append(key)
            self._names.write(f"{one_line(name)}\n")
        label = self.identities - 1
        self._records.write(key, pack(label, key, content))
        self._lines.append(self._list.tell())
        self._list.write(f"{key}\t{label}\t{path}\n".encode())
        self.images = key

    def image(self, key: int) -> tuple[str, int]:
        """Return the path of an image that was added, and the caller's number of its identity."""
        end = self._list.tell()
        self._list.seek(self._lines[key - 1])
        _, label, path = self._list.readline().decode().rstrip("\n").split("\t")
        self._list.seek(end)
        return path, self._numbers[int(label)]

    def finish(self) -> None:
        """Write the identity records, and record 0."""
        end = self.next_key
        lasts = [*self._firsts[1:], end]
        for key, (first, last) in enumerate(zip(self._firsts, lasts), start=end):
            self._records.write(key, pack([first, last], key))
        self._records.rewrite_first(pack([end, end + self.identities], 0))
