"""Files below a folder, read and written without following links.

git trusts its index, overwrites ignored files and removes links that are in its way. This module
says what the work tree really contains, before anything moves.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.objects import blob_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mfn_patcher.patching.git import Repository

FILE = "100644"
PROGRAM = "100755"
LINK = "120000"
SUBMODULE = "160000"
FOLDER = "040000"
OTHER = ""  # a device, a socket or a pipe, which git cannot store


class OutsideError(MfnPatchError):
    """A path leads through a link or a file; nothing was changed."""


class ReadOnlyError(MfnPatchError):
    """A folder cannot be written; nothing was changed."""


@dataclass(frozen=True)
class Found:
    """What a path contains.

    Attributes:
        mode: the mode that git would store, or `FOLDER`, or `OTHER`.
        content: the bytes of a file, or the target of a link; else empty.
    """

    mode: str
    content: bytes = b""

    def is_blob(self, repository: Repository, path: str, mode: str, blob: str) -> bool:
        """Return whether it is what git stores as `blob` with `mode`, except for permissions.

        Args:
            repository: the repository, whose attributes determine how a content is stored.
            path: the path.
            mode: the mode, six octal digits.
            blob: the blob id.
        """
        if self.mode in (FOLDER, OTHER):
            return self.mode == FOLDER and mode == SUBMODULE
        if (self.mode == LINK) != (mode == LINK) or mode == SUBMODULE:
            return False
        if blob_id(self.content) == blob:
            return True
        if self.mode == LINK:
            return False
        # Attributes of upstream may convert contents, for example line ends.
        kept = repository.out("hash-object", "--stdin", f"--path={path}", stdin=self.content)
        return kept == blob


def look(root: Path, path: str) -> Found | None:
    """Return what `path` below `root` contains; None if it does not exist."""
    if obstacle(root, path):
        return None
    try:
        found = (root / path).lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        # Path.readlink would drop a "./" of the target.
        return Found(LINK, os.fsencode(os.readlink(root / path)))  # noqa: PTH115
    if stat.S_ISDIR(found.st_mode):
        return Found(FOLDER)
    if not stat.S_ISREG(found.st_mode):
        return Found(OTHER)
    mode = PROGRAM if found.st_mode & stat.S_IXUSR else FILE
    return Found(mode, (root / path).read_bytes())


def obstacle(root: Path, path: str) -> str | None:
    """Return the first parent of `path` that exists and is not a real folder."""
    for parent in _ancestors(path):
        try:
            found = (root / parent).lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(found.st_mode):
            return parent
    return None


def below(root: Path, path: str) -> Iterator[str]:
    """Yield the paths of everything below the folder at `path`, except folders."""
    for folder, folders, files in os.walk(root / path):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted(files + links):
            yield (Path(folder) / name).relative_to(root).as_posix()


def refuse_detour(root: Path, path: str) -> None:
    """Check that all parents of `path` below `root` are real folders.

    Raises:
        OutsideError: one is a link or a file.
    """
    blocked = obstacle(root, path)
    if blocked:
        raise OutsideError(
            f"cannot write below {root / blocked}: it is not a real folder",
            remedy="Replace it with a folder and run the command again.",
        )


def refuse_read_only(root: Path, paths: Iterable[str]) -> None:
    """Check that files at `paths` below `root` can be created, replaced and removed.

    Raises:
        ReadOnlyError: the folder of one is read-only.
    """
    for folder in sorted({(root / path).parent for path in paths}):
        there = next(it for it in (folder, *folder.parents) if it.is_dir())
        if not os.access(there, os.W_OK | os.X_OK):
            raise ReadOnlyError(
                f"cannot write in {there}: Permission denied; nothing was changed",
                remedy="Check its owner and permissions, and run the command again.",
            )


def make_parents(root: Path, path: str) -> Path:
    """Create the parents of `path` below `root`, and return the absolute path.

    Raises:
        OutsideError: a parent is a link or a file.
    """
    refuse_detour(root, path)
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def remove(root: Path, path: str) -> None:
    """Remove a file or link, if it exists, and folders that become empty."""
    if obstacle(root, path):
        return
    (root / path).unlink(missing_ok=True)
    for parent in reversed(_ancestors(path)):
        try:
            (root / parent).rmdir()
        except OSError:
            return


def _ancestors(path: str) -> list[str]:
    """Return the parents of `path`, the outermost first."""
    return [str(parent) for parent in reversed(PurePosixPath(path).parents)][1:]
