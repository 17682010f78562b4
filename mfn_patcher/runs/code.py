"""The code that a run trains: the chain of patches in its workspace, and the user's edits."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

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
        free: options of the script that may be others when a training is resumed, such as
            ``--max-steps``; the script's own list.
        own: options of the script that each host may have its own values of; the script's own
            list.
    """

    pin: str | None = None
    commit: str | None = None
    patches: tuple[AppliedPatch, ...] = ()
    edits: bytes = b""
    free: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()

    @property
    def can_resume(self) -> bool:
        """Whether the script knows ``--seed``, ``--resume`` and ``--keep``."""
        return self._has("resume")

    @property
    def can_cluster(self) -> bool:
        """Whether the script knows ``--kvstore`` and ``--progress``."""
        return self._has("cluster")

    def is_free(self, option: str) -> bool:
        """Return whether an option, whole or shortened, is one of `free`."""
        return any(free.startswith(option) for free in self.free)

    def is_own(self, option: str) -> bool:
        """Return whether an option, whole or shortened, is one of `own`."""
        return any(own.startswith(option) for own in self.own)

    def _has(self, stack: str) -> bool:
        return any(patch.patch.startswith(f"{stack}/") for patch in self.patches)


def read_code(workspace: Path) -> Code:
    """Return the code in a workspace; an empty record for a folder that is no clone of ours."""
    place = Workspace(workspace)
    if place.chain_commit() is None:
        return Code()
    status = place.status()
    patches = tuple(AppliedPatch(link.patch, link.digest, link.commit) for link in status.links)
    edits = place.diff(local=True) if status.edits else b""
    source = place.path / "src"
    free = _read_options(source / "checkpoint.py", "FREE")
    own = _read_options(source / "cluster.py", "OWN")
    return Code(status.pin, status.commit, patches, edits, free, own)


def _read_options(file: Path, name: str) -> frozenset[str]:
    """Return the options that a file of the script lists under a name; none without such a list.

    The lists decide what the script refuses, and are kept there alone.
    """
    try:
        body = ast.parse(file.read_bytes()).body
        lists = [
            ast.literal_eval(node.value)
            for node in body
            if isinstance(node, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        ]
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    return frozenset(f"--{str(each).replace('_', '-')}" for names in lists for each in names)
