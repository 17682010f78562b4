"""Contents of files as git stores them: blobs and their ids."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mfn_patcher.patching.git import Repository


class MissingBlobError(MfnPatchError):
    """A repository does not have a blob."""


class Blobs:
    """Blobs of a repository, each of which is read once.

    Args:
        repository: the repository to read from.
        fetch: fetches the blobs with the given ids into the repository.
    """

    def __init__(
        self, repository: Repository, fetch: Callable[[set[str]], None] = lambda _: None
    ) -> None:
        self.repository = repository
        self._fetch = fetch
        self._contents: dict[str, bytes] = {}
        self._ids: dict[bytes, str] = {}

    def read(self, blob: str) -> bytes:
        """Return the content of a blob."""
        if blob not in self._contents:
            self.load([blob])
        return self._contents[blob]

    def load(self, blobs: Iterable[str]) -> None:
        """Read blobs in one go, after fetching those that are missing.

        Raises:
            MissingBlobError: the repository lacks a blob, even after fetching.
        """
        wanted = set(blobs) - set(self._contents)
        missing = self.repository.missing(wanted)
        if missing:
            self._fetch(missing)
            missing = self.repository.missing(missing)
        if missing:
            raise MissingBlobError(
                f"{self.repository.git_dir} lacks the content of blob {min(missing)}",
                remedy="Fetch it, or use --workspace to name another workspace.",
            )

        ids = "".join(f"{blob}\n" for blob in sorted(wanted))
        out = self.repository.run("cat-file", "--batch", stdin=ids.encode()).stdout
        start = 0
        while start < len(out):
            end = out.index(b"\n", start)
            blob, _, size = out[start:end].decode().split()
            start = end + 1
            self._contents[blob] = out[start : start + int(size)]
            start += int(size) + 1

    def add(self, content: bytes) -> str:
        """Remember a content that is not in the repository, and return its id."""
        blob = self._ids.get(content)
        if blob is None:
            blob = self._ids[content] = blob_id(content)
            self._contents[blob] = content
        return blob


def blob_id(content: bytes) -> str:
    """Return git's id of the blob with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
