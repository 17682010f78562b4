"""What stands in a folder, looked at and changed without following a link below it.

git trusts its index, replaces ignored files and removes links that are in its way. Before
anything moves, this module says what really is there.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.blobs import blob_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfn_patcher.patching.git import Repository

FILE = "100644"
PROGRAM = "100755"
LINK = "120000"
SUBMODULE = "160000"
FOLDER = "040000"
OTHER = ""  # a device, a socket, a named pipe: nothing that git keeps


class OutsideError(MfnPatchError):
    """A path would be written through a link or a file; nothing was changed."""


@dataclass(frozen=True)
class Standing:
    """What stands at a path.

    Attributes:
        mode: the mode that git would give it, or `FOLDER`, or `OTHER`.
        content: the bytes of a file, or of a link's target; nothing else has any.
    """

    mode: str
    content: bytes = b""

    def is_blob(self, repository: Repository, path: str, mode: str, blob: str) -> bool:
        """Return whether it holds what git keeps as `blob` with `mode`, but for permissions.

        Args:
            repository: whose attributes say how a file's content is kept.
            path: where it stands.
            mode: six octal digits.
            blob: the id.
        """
        if self.mode in (FOLDER, OTHER):
            return self.mode == FOLDER and mode == SUBMODULE
        if (self.mode == LINK) != (mode == LINK) or mode == SUBMODULE:
            return False
        if blob_id(self.content) == blob:
            return True
        if self.mode == LINK:
            return False
        # Line ends and the like: upstream's attributes may keep another content than stands here.
        kept = repository.out("hash-object", "--stdin", f"--path={path}", stdin=self.content)
        return kept == blob


def look(root: Path, path: str) -> Standing | None:
    """Return what stands at `path` below `root`; nothing stands below a link or a file."""
    if obstacle(root, path):
        return None
    try:
        found = (root / path).lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        # Path.readlink would leave out a "./" of the target.
        return Standing(LINK, os.fsencode(os.readlink(root / path)))  # noqa: PTH115
    if stat.S_ISDIR(found.st_mode):
        return Standing(FOLDER)
    if not stat.S_ISREG(found.st_mode):
        return Standing(OTHER)
    mode = PROGRAM if found.st_mode & stat.S_IXUSR else FILE
    return Standing(mode, (root / path).read_bytes())


def obstacle(root: Path, path: str) -> str | None:
    """Return the first part of the way to `path` that is there and is no real folder."""
    for parent in _ancestors(path):
        try:
            found = (root / parent).lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(found.st_mode):
            return parent
    return None


def below(root: Path, path: str) -> Iterator[str]:
    """Yield the paths of all that is no folder below the folder at `path`."""
    for folder, folders, files in os.walk(root / path):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted(files + links):
            yield (Path(folder) / name).relative_to(root).as_posix()


def refuse_detour(root: Path, path: str) -> None:
    """Raise unless the way to `path` below `root` leads through real folders alone.

    Raises:
        OutsideError: a link or a file is on the way.
    """
    blocked = obstacle(root, path)
    if blocked:
        raise OutsideError(
            f"{root / blocked} is not a real folder, so nothing is written below it",
            remedy="Put a folder in its place and run the command again.",
        )


def make_parents(root: Path, path: str) -> Path:
    """Make the folders on the way to `path` below `root`, and return where it is to be.

    Raises:
        OutsideError: a link or a file is on the way.
    """
    refuse_detour(root, path)
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def remove(root: Path, path: str) -> None:
    """Remove a file or link, if it is there, and the folders that it leaves empty."""
    if obstacle(root, path):
        return
    (root / path).unlink(missing_ok=True)
    for parent in reversed(_ancestors(path)):
        try:
            (root / parent).rmdir()
        except OSError:
            return


def _ancestors(path: str) -> list[str]:
    """Return the folders on the way to `path`, the outermost first."""
    return [str(parent) for parent in reversed(PurePosixPath(path).parents)][1:]
