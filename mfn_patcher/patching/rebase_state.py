"""The state of a rebase between two commands."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.layout import read_note
from mfn_patcher.patching.merge import Entry
from mfn_patcher.patching.worktree import SUBMODULE
from mfn_patcher.typed_json import FileName

if TYPE_CHECKING:
    from pathlib import Path

    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.layout import Layout


class RebaseError(MfnPatchError):
    """A rebase cannot start or continue; nothing was changed."""


@dataclass(frozen=True)
class RebaseState:
    """A rebase in progress.

    Attributes:
        onto: the new pin.
        pin: the old pin.
        tip: the tip of the old chain.
        parent: the commit that the next patch is applied to.
        done: the number of patches that are done.
        dropped: those of them that had no changes left.
        stopped: whether the work tree contains the conflicts of the next patch.
        resolved: whether the user resolved a conflict of those that are done.
        shown: trees that the work tree contained, and trees that the user made of them.
        whole: conflicting paths that cannot be merged line by line.
    """

    onto: str
    pin: str
    tip: str
    parent: str
    done: int = 0
    dropped: tuple[str, ...] = ()
    stopped: bool = False
    resolved: bool = False
    shown: tuple[str, ...] = ()
    whole: tuple[FileName, ...] = ()

    def submodules(self, repository: Repository) -> dict[str, Entry]:
        """Return the submodules of upstream that conflict with the patch that stopped.

        No patch can change a submodule, so they stay. git forgets those with an empty folder.
        """
        there = repository.entries(self.parent)
        found = {path: Entry(*there[path]) for path in self.whole if path in there}
        return {path: entry for path, entry in found.items() if entry.mode == SUBMODULE}


def load_state(layout: Layout) -> RebaseState:
    """Return the state of the rebase in progress.

    Raises:
        RebaseError: there is none.
    """
    if not layout.rebase.exists():
        raise RebaseError(
            "no rebase is in progress", remedy="Start one with `mfn-patch rebase --onto REV`."
        )
    return read_note(layout.rebase, RebaseState)


def forget_state(layout: Layout) -> None:
    """Remove the state and the patches that are done."""
    layout.rebase.unlink()
    shutil.rmtree(done_patches(layout), ignore_errors=True)


def done_patches(layout: Layout) -> Path:
    """Return the folder of the patches that are done, under their old names."""
    return layout.notes / "rebased"
