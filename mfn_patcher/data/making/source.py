"""Where the images of a data set come from: a folder per identity, or a list file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

import numpy as np

from mfn_patcher.data.making.photo import SUFFIXES
from mfn_patcher.encoding import detect
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.printable import one_line

_REMEDY = (
    "Give a folder with one folder of images per identity, or a list file with a path and an "
    "identity per line."
)


class SourceError(MfnPatchError):
    """The source of the images cannot be read or is not what is expected."""


class ListEncodingError(MfnPatchError):
    """A list of images or pairs is neither UTF-8 nor compatible with it."""


class Source(ABC):
    """Image files by identity.

    Paths are kept as text: millions of `Path` objects would take minutes.

    Attributes:
        root: folder that the paths of the source are relative to.
        names: names of the identities, in the order of their labels.
        counts: number of files of each identity, whatever they contain.
        strays: names of images in the root that belong to no identity.
    """

    root: Path
    names: Sequence[str]
    counts: Sequence[int]
    strays: Sequence[str] = ()

    @abstractmethod
    def paths(self, identity: int) -> Iterator[str]:
        """Yield the paths of an identity's files, in a fixed order."""

    @abstractmethod
    def identities_of(self, paths: Set[str]) -> dict[str, int]:
        """Return the identities of those paths that belong to the source."""

    def shown(self, path: str) -> str:
        """Return a path on one line, safe to display, and relative to the root if it is inside."""
        return one_line(path.removeprefix(f"{self.root}/"))


def open_source(path: Path) -> Source:
    """Find the identities and count the files of a source; no image is read.

    Args:
        path: a folder with one folder per identity, or a list file.

    Raises:
        SourceError: The source cannot be read, or contains no image.
        ListEncodingError: A list is not UTF-8.
    """
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        raise SourceError(f"{path} is an image", remedy=_REMEDY)
    try:
        source = FolderSource(path) if path.is_dir() else ListSource(path)
    except OSError as error:
        raise SourceError(
            f"cannot read {error.filename or path}: {error.strerror}",
            remedy=_REMEDY,
        ) from error
    if not source.names:
        raise SourceError(
            f"{path} contains no identities",
            remedy="Put the images of each identity into a folder of its own inside it."
            if path.is_dir()
            else _REMEDY,
        )
    return source


def has_folders_of_images(directory: Path) -> bool:
    """Return whether a folder looks like a source, by the first folder in it."""
    folders = (path for path in sorted(directory.iterdir()) if path.is_dir())
    first = next(folders, None)
    return first is not None and any(path.suffix.lower() in SUFFIXES for path in first.iterdir())


class FolderSource(Source):
    """A folder that contains one folder per identity; hidden files are ignored."""

    def __init__(self, root: Path) -> None:
        self.root = root
        names, strays = [], []
        with os.scandir(root) as entries:
            for entry in filter(_is_visible, entries):
                if entry.is_dir():
                    names.append(entry.name)
                elif Path(entry.name).suffix.lower() in SUFFIXES:
                    strays.append(entry.name)
        # By bytes, so that the order is the same in every locale.
        self.names = sorted(names, key=os.fsencode)
        self.strays = sorted(strays, key=os.fsencode)
        self.counts = array("L", (len(self._files(name)) for name in self.names))
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def _files(self, name: str) -> list[str]:
        with os.scandir(self.root / name) as entries:
            return [entry.name for entry in entries if _is_visible(entry)]

    def paths(self, identity: int) -> Iterator[str]:
        """Yield the paths of an identity's files, sorted by name."""
        name = self.names[identity]
        folder = str(self.root / name)
        for file in sorted(self._files(name), key=os.fsencode):
            yield f"{folder}/{file}"

    def identities_of(self, paths: Set[str]) -> dict[str, int]:
        """Return the identities of those paths that belong to the source."""
        found = {}
        for path in paths:
            parts = Path(os.path.relpath(path, self.root)).parts
            if len(parts) > 1 and parts[0] in self._numbers:
                found[path] = self._numbers[parts[0]]
        return found


def _is_visible(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".")


class ListSource(Source):
    """A text file with a path and an identity per line, separated by a tab or by spaces.

    Paths are relative to the folder of the file. Only the positions of the lines are kept in
    memory.
    """

    def __init__(self, path: Path) -> None:
        self.root = path.parent
        self._path = path
        numbers: dict[str, int] = {}
        positions, identities = array("q"), array("l")
        for position, _, identity in self._lines():
            positions.append(position)
            identities.append(numbers.setdefault(identity, len(numbers)))
        self.names = list(numbers)
        labels = np.asarray(identities, dtype=np.int64)
        self.counts = np.bincount(labels, minlength=len(numbers)).tolist()
        self._positions = np.asarray(positions, dtype=np.int64)[np.argsort(labels, kind="stable")]
        self._firsts = np.concatenate([[0], np.cumsum(self.counts)])

    def _lines(self) -> Iterator[tuple[int, str, str]]:
        """Yield position, path and identity of each line."""
        position = 0
        with self._path.open("rb") as file:
            require_utf8(self._path, file.peek())
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield position, *self._split(line, number)
                position += len(line)

    def _split(self, line: bytes, number: int) -> tuple[str, str]:
        columns = split_columns(line)
        if len(columns) != 2:  # noqa: PLR2004
            raise SourceError(
                f"line {number} of {self._path} has {len(columns)} columns, not a path and an "
                "identity",
                remedy="Write a path, a tab and an identity on each line.",
            )
        return columns[0], columns[1]

    def paths(self, identity: int) -> Iterator[str]:
        """Yield the paths of an identity's files, in the order of the list."""
        with self._path.open("rb") as file:
            for place in range(self._firsts[identity], self._firsts[identity + 1]):
                file.seek(self._positions[place])
                yield self._absolute(split_columns(file.readline())[0])

    def identities_of(self, paths: Set[str]) -> dict[str, int]:
        """Return the identities of those paths that belong to the source."""
        numbers = {name: number for number, name in enumerate(self.names)}
        known = {os.path.normpath(path): path for path in paths}
        found = {}
        for _, path, identity in self._lines():
            if wanted := known.get(os.path.normpath(self._absolute(path))):
                found[wanted] = numbers[identity]
        return found

    def _absolute(self, path: str) -> str:
        return str(self.root / path)


def require_utf8(path: Path, start: bytes) -> None:
    """Raise ListEncodingError if a list that starts with these bytes is UTF-16 or UTF-32 text."""
    encoding = detect(start)
    if not encoding.startswith("utf-8"):
        raise ListEncodingError(
            f"{path} is {encoding.upper()} text, as PowerShell's > writes",
            remedy="Save it as UTF-8.",
        )


def split_columns(line: bytes) -> list[str]:
    """Split a line of a list at its tabs or, without one, at its spaces."""
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").strip()
    return [column.strip() for column in text.split("\t")] if "\t" in text else text.split()
