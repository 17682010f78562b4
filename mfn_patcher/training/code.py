"""Which code a run trains: the chain of patches in its workspace, and what the user changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.workspace import Workspace


@dataclass(frozen=True)
class AppliedPatch:
    """A patch of the chain.

    Attributes:
        patch: Its name in the series.
        digest: SHA-256 of the patch file.
        commit: That applies it.
    """

    patch: str
    digest: str
    commit: str


@dataclass(frozen=True)
class Code:
    """The code in a workspace.

    Attributes:
        pin: The commit of upstream that the chain starts from; None if unknown.
        commit: The end of the chain; None if unknown.
        patches: Of the chain, in order.
        edits: What the user changed in tracked files on top, as a unified diff.
    """

    pin: str | None = None
    commit: str | None = None
    patches: tuple[AppliedPatch, ...] = ()
    edits: bytes = b""

    @property
    def can_resume(self) -> bool:
        """Whether the script knows ``--seed``, ``--resume`` and ``--keep``."""
        return self._has("resume")

    @property
    def can_cluster(self) -> bool:
        """Whether the script knows ``--kvstore`` and ``--progress``."""
        return self._has("cluster")

    def _has(self, stack: str) -> bool:
        return any(patch.patch.startswith(f"{stack}/") for patch in self.patches)


def read_code(workspace: Path) -> Code:
    """Return which code a workspace holds; nothing is known of one that is no clone of ours."""
    place = Workspace(workspace)
    if place.chain_commit() is None:
        return Code()
    status = place.status()
    patches = tuple(AppliedPatch(link.patch, link.digest, link.commit) for link in status.links)
    edits = place.diff(local=True) if status.edits else b""
    return Code(status.pin, status.commit, patches, edits)
