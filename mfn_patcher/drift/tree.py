"""The files of a commit while patches are judged on it."""

from __future__ import annotations

from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from mfn_patcher.patching.worktree import FILE, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mfn_patcher.patching.objects import Blobs


class Tree:
    """The files of a commit, with the changes of the patches so far.

    Args:
        commit: the commit id.
        blobs: reads contents.
        files: the blobs of the patched files, and "" for links and submodules; None reads them
            from the commit.

    Attributes:
        files: the current blobs, by path.
    """

    def __init__(self, commit: str, blobs: Blobs, files: Mapping[str, str] | None = None) -> None:
        self.commit = commit
        self._contents = blobs
        shown = files if files is not None else self._files_and_others()
        self.files = {path: blob for path, blob in shown.items() if blob}
        self._others = shown.keys() - self.files.keys()
        self._removed: set[str] = set()
        self._modes: dict[str, str] = {}

    @cached_property
    def everything(self) -> dict[str, tuple[str, str]]:
        """Mode and blob of all files, links and submodules in the commit."""
        return self._contents.repository.entries(self.commit)

    @cached_property
    def everywhere(self) -> dict[str, str]:
        """The blobs of all files in the commit."""
        return {path: blob for path, blob in self._files_and_others().items() if blob}

    def _files_and_others(self) -> dict[str, str]:
        entries = self.everything.items()
        return {path: blob if mode in (FILE, PROGRAM) else "" for path, (mode, blob) in entries}

    def in_the_way(self, path: str) -> str:
        """Return what prevents a file at `path`: a link there, or anything below or above it."""
        if path in self._others:
            return path
        shown = chain(self.files, self._others)
        below = next((there for there in shown if there.startswith(f"{path}/")), "")
        if below:
            return below
        folder = path.rpartition("/")[0]
        while folder and not any(there.startswith(f"{folder}/") for there in self.files):
            if folder in self.files or folder in self.everything.keys() - self._removed:
                return folder
            folder = folder.rpartition("/")[0]
        return ""

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, or None if there is no file."""
        return self._contents.read(self.files[path]) if path in self.files else None

    def mode(self, path: str) -> str:
        """Return the mode of a file that exists, six octal digits."""
        if path in self._modes:
            return self._modes[path]
        return self.everything[path][0] if path in self.everything else FILE

    def write(self, path: str, content: bytes | None, mode: str | None = None) -> None:
        """Change a file; None removes it. Without a mode, it keeps the one that it has."""
        self._put(path, None if content is None else self._contents.add(content))
        if mode:
            self._modes[path] = mode

    def snapshot(self, paths: Iterable[str]) -> dict[str, tuple[str | None, str | None]]:
        """Return what `restore` needs to undo changes of `paths`."""
        return {path: (self.files.get(path), self._modes.get(path)) for path in paths}

    def restore(self, before: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Undo all changes since a snapshot."""
        for path, (blob, mode) in before.items():
            self._put(path, blob)
            self._modes.pop(path, None)
            if mode:
                self._modes[path] = mode

    def _put(self, path: str, blob: str | None) -> None:
        if blob is None:
            self.files.pop(path, None)
            self._removed.add(path)
        else:
            self.files[path] = blob
            self._removed.discard(path)
