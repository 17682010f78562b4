"""The workspace while one command has exclusive access, and recovery from killed commands."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.patching import draft
from mfn_patcher.patching.chain import build_chain, read_chain
from mfn_patcher.patching.layout import read_note, write_note
from mfn_patcher.patching.local_edits import LocalEdits
from mfn_patcher.patching.patchfile import PatchFormatError
from mfn_patcher.patching.series import load_series
from mfn_patcher.patching.transaction import Move, Transaction
from mfn_patcher.typed_json import FileName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mfn_patcher.patching.layout import Layout
    from mfn_patcher.patching.series import Series

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Adoption:
    """The note of a changed series that the work tree must follow.

    Attributes:
        root: the project.
        move: the move to its new series.
    """

    root: FileName
    move: Move


@contextlib.contextmanager
def lock(layout: Layout, *, rebasing: bool = False) -> Iterator[LockedWorkspace]:
    """Lock a workspace, and finish what a killed command left undone.

    The lock lasts as long as any git process that was started under it, so a command that follows
    a killed one waits for the git processes of that one.

    Args:
        layout: the files of the workspace.
        rebasing: whether the caller may run during a rebase.

    Raises:
        WorkspaceError: a rebase is in progress, and `rebasing` is not set.
    """
    repository = layout.repository
    layout.notes.mkdir(parents=True, exist_ok=True)
    with (layout.notes / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _LOG.info("waiting for another mfn-patch that uses %s", layout.path)
            fcntl.flock(file, fcntl.LOCK_EX)
        repository.inherited_fd = file.fileno()
        file.seek(0)
        killed = bool(file.read())
        file.write("in use\n")
        file.flush()
        try:
            locked = LockedWorkspace(layout)
            if killed or locked.interrupted:
                remove_stale_locks(layout)
            locked.recover()
            if not rebasing:
                layout.refuse_rebase()
            yield locked
        finally:
            file.truncate(0)
            repository.inherited_fd = None


def recover(layout: Layout) -> None:
    """Finish what a killed command left undone; each command that reads a workspace does so."""
    if layout.transaction.exists() or layout.adoption.exists():
        with lock(layout, rebasing=True):
            pass


def remove_stale_locks(layout: Layout) -> None:
    """Remove git's lock files, whose git processes have ended."""
    for file in layout.repository.git_dir.rglob("*.lock"):
        file.unlink(missing_ok=True)


class LockedWorkspace:
    """A workspace that is locked.

    Args:
        layout: the files of the workspace.

    Attributes:
        transaction: moves the work tree.
        edits: the user's edits.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.transaction = Transaction(layout.repository, layout.transaction)
        self.edits = LocalEdits(layout)

    @property
    def interrupted(self) -> bool:
        """Whether a killed command left something undone."""
        return self.transaction.interrupted or self.layout.adoption.exists()

    def recover(self) -> None:
        """Finish what a killed command left undone."""
        interrupted = self.interrupted
        if self.transaction.interrupted:
            _tell_moved(self.transaction.finish(self.layout.saved))
        if self.layout.adoption.exists():
            self._finish_adoption()
        if interrupted:
            _LOG.info("finished an interrupted command in %s", self.layout.path)

    def set_aside(self, move: Move) -> None:
        """Move away the files that `move` would overwrite."""
        _tell_moved(self.transaction.set_aside(move, self.layout.saved))

    def adopt(
        self,
        series: Series,
        changed: Mapping[str, bytes],
        *,
        known: tuple[str, ...],
        names: Mapping[str, str] | None = None,
    ) -> None:
        """Replace the project's series by a changed one, and move the workspace to it.

        Everything is written aside and tried first. If this process is killed after that, the next
        command that reads the project or the workspace finishes the work.

        Args:
            series: the project's series.
            changed: contents of changed and new files, as for `draft.drafted`.
            known: trees that the work tree may contain because the changed series has their
                contents.
            names: new names of the patches by their old ones, as for `draft.drafted`.

        Raises:
            DraftError: the changed series is not valid; nothing was changed.
            InTheWayError: the workspace cannot move to it; nothing was changed.
        """
        with draft.drafted(series, changed, names=names) as drafted:
            links = build_chain(self.layout.repository, drafted.series, drafted.series.patches)
            tip = links[-1].commit if links else drafted.series.pin
            patterns = drafted.series.patterns
            move = Move(drafted.series.pin, tip, known=known, patterns=patterns)
            self.transaction.check(move)
            write_note(self.layout.adoption, _Adoption(str(drafted.root), move))
            drafted.install()
        self._finish_adoption()

    def _finish_adoption(self) -> None:
        """Move the work tree to a changed series, if the project has that series."""
        adoption = read_note(self.layout.adoption, _Adoption)
        move = adoption.move
        if self._is_installed(Path(adoption.root), move):
            self.edits.keep(time.strftime("%Y%m%dT%H%M%S"), move.known)
            self.set_aside(move)
            self.transaction.run(move)
            self.layout.rebase.unlink(missing_ok=True)
        self.layout.adoption.unlink()

    def _is_installed(self, root: Path, move: Move) -> bool:
        """Return whether the project at `root` has the series that `move` leads to."""
        try:
            draft.recover(root)
            series = load_series(root)
        except (OSError, PatchFormatError):
            return False
        links = read_chain(self.layout.repository, move.pin, move.to)
        names = [(patch.name, patch.digest) for patch in series.patches]
        return series.pin == move.pin and [(link.patch, link.digest) for link in links] == names


def _tell_moved(folder: Path | None) -> None:
    if folder:
        _LOG.info("files that were in the way were moved to %s", folder)
