"""The code that a run trains: the chain of patches in its workspace, and the user's edits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mfn_patcher import trainer
from mfn_patcher.patching.workspace import Workspace


@dataclass(frozen=True)
class AppliedPatch:
    """A patch of the chain.

    Attributes:
        patch: name of the patch in the series.
        digest: SHA-256 of the patch file.
        commit: the commit that applies it.
    """

    patch: str
    digest: str
    commit: str


@dataclass(frozen=True)
class Code:
    """The code in a workspace.

    Attributes:
        pin: the commit of upstream that the chain starts from; None if unknown.
        commit: the end of the chain; None if unknown.
        patches: the patches of the chain, in order.
        edits: the user's edits of tracked files on top, as a unified diff.
        trainer_sha256: SHA-256 of the package that the script calls.
    """

    pin: str | None = None
    commit: str | None = None
    patches: tuple[AppliedPatch, ...] = ()
    edits: bytes = b""
    trainer_sha256: str = field(default_factory=trainer.digest)

    @property
    def has_hooks(self) -> bool:
        """Whether the script calls our package, and so knows its arguments, such as ``--seed``."""
        return any(patch.patch.startswith("hooks/") for patch in self.patches)


def read_code(workspace: Path) -> Code:
    """Return the code in a workspace; an empty record if the folder is not such a workspace."""
    place = Workspace(workspace)
    if place.chain_commit() is None:
        return Code()
    status = place.status()
    patches = tuple(AppliedPatch(link.patch, link.digest, link.commit) for link in status.links)
    edits = place.diff(local=True) if status.edits else b""
    return Code(status.pin, status.commit, patches, edits)
