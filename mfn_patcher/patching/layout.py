"""The files of a workspace: the clone, and the notes that mfn-patch keeps in it.

mfn-patch has these refs, besides the branch ``mfn-patch``: ``refs/mfn-patch/pin`` and
``refs/mfn-patch/applied`` are the two ends of the chain that was applied last (commits beyond it
are the user's), and ``refs/mfn-patch/saved/*`` are commits of the user's that were moved away.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mfn_patcher import files
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.git import Repository
from mfn_patcher.typed_json import decode

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BRANCH = "refs/heads/mfn-patch"
PIN = "refs/mfn-patch/pin"
APPLIED = "refs/mfn-patch/applied"
SAVED = "refs/mfn-patch/saved"

_Note = TypeVar("_Note", bound="DataclassInstance")


class WorkspaceError(MfnPatchError):
    """The workspace is missing, or is not in the state that the command requires."""


@dataclass(frozen=True)
class _RebaseTarget:
    """The part of a rebase's state that other commands read."""

    onto: str


class Layout:
    """Where the files of a workspace are.

    Attributes:
        path: the workspace.
        repository: the clone in it.
        notes: the folder of our notes.
        saved: the folder of what was moved out of the way.
        transaction: the note of a move of the work tree that is in progress.
        adoption: the note of a changed series that the work tree must follow.
        rebase: the state of a rebase in progress.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.repository = Repository(self.path)
        self.notes = self.repository.git_dir / "mfn-patch"
        self.saved = self.path / "saved"
        self.transaction = self.notes / "transaction.json"
        self.adoption = self.notes / "adoption.json"
        self.rebase = self.notes / "rebase.json"

    def rebase_target(self) -> str | None:
        """Return the commit that the rebase in progress moves to, if there is one."""
        return read_note(self.rebase, _RebaseTarget).onto if self.rebase.exists() else None

    def refuse_rebase(self) -> None:
        """Raise WorkspaceError if a rebase is in progress."""
        onto = self.rebase_target()
        if onto:
            raise WorkspaceError(
                f"a rebase onto {onto[:12]} is in progress in {self.path}",
                remedy="Finish it with `mfn-patch rebase --continue`, or cancel it with "
                "`mfn-patch rebase --abort`.",
            )


def write_note(path: Path, note: DataclassInstance) -> None:
    """Write a note for the command that follows a killed one, completely or not at all."""
    files.write(path, json.dumps(asdict(note)).encode())


def read_note(path: Path, kind: type[_Note]) -> _Note:
    """Return the note at `path`, which `write_note` made of an object of this kind.

    Raises:
        WorkspaceError: it is damaged, for example by a failing disk.
    """
    try:
        note: _Note = decode(json.loads(path.read_text()), kind)
    except (ValueError, RecursionError) as error:
        raise WorkspaceError(
            f"{path} is damaged: {error}",
            remedy=f"Move {path.parents[2]} away, run `mfn-patch apply`, and copy your own files "
            "back.",
        ) from error
    return note


def unused_path(folder: Path, name: str, suffix: str = "") -> Path:
    """Return a path in `folder` that does not exist: `name`, or `name` with a number."""
    path, number = folder / f"{name}{suffix}", 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{name}-{number}{suffix}"
    return path
