"""Applying patches to a workspace, and reverting it to the pin."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher import files
from mfn_patcher.patching import upstream, worktree
from mfn_patcher.patching.chain import build_chain
from mfn_patcher.patching.layout import APPLIED, PIN, WorkspaceError
from mfn_patcher.patching.locked import lock, remove_stale_locks
from mfn_patcher.patching.sparse import matches
from mfn_patcher.patching.transaction import Move, Transaction
from mfn_patcher.patching.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfn_patcher.patching.chain import Link
    from mfn_patcher.patching.layout import Layout
    from mfn_patcher.patching.patchfile import Patch
    from mfn_patcher.patching.series import Series

_LOG = logging.getLogger(__name__)

_SAVED = "/saved/"  # what we move out of the way; git status need not list it


@dataclass(frozen=True)
class Outcome:
    """What `apply` or `revert` did.

    Attributes:
        changed: whether the workspace has changed.
        commit: the tip of the chain; the pin if no patch is applied.
        links: the chain.
        saved: the patch file with the user's edits, if they were saved.
        restored: tracked files that were missing from the work tree.
    """

    changed: bool
    commit: str
    links: tuple[Link, ...]
    saved: Path | None = None
    restored: tuple[str, ...] = ()


def apply(
    workspace: Workspace,
    series: Series,
    patches: Sequence[Patch],
    address: str,
    *,
    force: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Move a workspace to the pin plus `patches`, after fetching the pin if it is missing.

    The chain is built aside; the work tree moves once, when the last patch has applied.

    Args:
        workspace: the workspace, created if it does not exist.
        series: the project's series.
        patches: the patches to apply, a selection of the series in order; with none, the workspace
            is the bare pin.
        address: the address of upstream.
        force: save the user's edits into a patch file instead of refusing.
        dry_run: build the chain, but do not change the workspace.

    Raises:
        MfnPatchError: nothing in the workspace was changed.
    """
    layout = workspace.layout
    _refuse_occupied(layout)
    if dry_run and not layout.repository.git_dir.exists():
        with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
            aside = Workspace(Path(folder, "workspace"))
            aside.repository.git_dir.mkdir(parents=True)
            return apply(aside, series, patches, address, dry_run=True)
    with lock(layout) as locked:
        chain = workspace.applied(series, patches)
        if chain is not None and not (force and locked.edits.find()):
            unchanged = Outcome(False, chain[-1].commit if chain else series.pin, chain)
            return unchanged if dry_run else replace(unchanged, restored=_restore(layout))
        _fetch_pin(layout, series, address)
        links = tuple(build_chain(layout.repository, series, patches))
        tip = links[-1].commit if links else series.pin
        if dry_run:
            return Outcome(True, tip, links)
        saved = locked.edits.protect(force=force)
        known = (saved.tree,) if saved else ()
        locked.transaction.run(Move(series.pin, tip, known=known, patterns=series.patterns))
        return Outcome(True, tip, links, saved.patch if saved else None)


def revert(workspace: Workspace, *, force: bool = False) -> Outcome:
    """Move a workspace back to the pin.

    Args:
        workspace: the workspace.
        force: save the user's edits into a patch file instead of refusing.

    Raises:
        WorkspaceError: there is no workspace.
        LocalEditsError: the user has edits, and `force` is not set.
    """
    workspace.check_exists()
    with lock(workspace.layout) as locked:
        pin = workspace.repository.resolve(PIN)
        if pin is None:
            raise WorkspaceError(f"nothing has been applied in {workspace.path}")
        changed = pin != workspace.repository.resolve(APPLIED)
        saved = locked.edits.protect(force=force)
        locked.transaction.run(Move(pin, pin, known=(saved.tree,) if saved else ()))
        return Outcome(changed or saved is not None, pin, (), saved.patch if saved else None)


def fetch_files(layout: Layout, commit: str, address: str, patterns: tuple[str, ...]) -> None:
    """Fetch the blobs that a move to `commit` reads and a partial clone of the user's lacks.

    Args:
        layout: the files of the workspace, which has the trees of `commit`.
        commit: the commit to move to.
        address: the address of upstream.
        patterns: sparse checkout patterns of what the patches need.
    """
    git = layout.repository
    head = git.entries("HEAD") if git.resolve("HEAD") else {}
    everything = not Transaction(git, layout.transaction).owns_patterns
    wanted = {
        entry[1]
        for path, entry in git.entries(commit).items()
        if entry[0] != worktree.SUBMODULE
        and (matches(path, patterns) or (everything and head.get(path) != entry))
    }
    upstream.fetch_missing(git, address, wanted)


def _refuse_occupied(layout: Layout) -> None:
    """Refuse a folder that is neither a clone nor empty."""
    git_dir, path = layout.repository.git_dir, layout.path
    if git_dir.is_file() or git_dir.is_symlink():
        raise WorkspaceError(
            f"{git_dir} leads to another folder: it is a link, or part of a linked work tree",
            remedy="Use --workspace to name a clone with a .git folder of its own.",
        )
    if git_dir.is_dir() or not path.exists():
        return
    if not path.is_dir() or any(path.iterdir()):
        raise WorkspaceError(
            f"{path} is neither a clone of upstream nor an empty folder",
            remedy="Use --workspace to name another folder.",
        )


def _restore(layout: Layout) -> tuple[str, ...]:
    """Restore tracked files that are missing from the work tree, and return their paths.

    A file whose removal is staged was removed on purpose.
    """
    git = layout.repository
    deleted = git.out("diff-files", "--name-only", "-z", "--diff-filter=D").split("\0")
    missing = [
        path
        for path in filter(None, deleted)
        if not os.path.lexists(layout.path / path) and not worktree.obstacle(layout.path, path)
    ]
    if missing:
        listing = b"".join(os.fsencode(path) + b"\0" for path in missing)
        git.run("checkout-index", "--quiet", "-u", "-z", "--stdin", stdin=listing)
    return tuple(missing)


def _fetch_pin(layout: Layout, series: Series, address: str) -> None:
    git = layout.repository
    if git.resolve("HEAD") is None:  # nothing was ever checked out
        _create(layout, series)
    elif git.resolve(PIN) == series.pin:
        return
    elif git.resolve(PIN) is None:  # a clone of the user's own
        if git.resolve(series.pin) is None:
            raise WorkspaceError(
                f"{layout.path} is a git repository without the pinned commit {series.pin}",
                remedy="Use --workspace to name an empty folder or a clone of upstream.",
            )
        fetch_files(layout, series.pin, address, series.patterns)
        return
    _LOG.info("fetching %s from %s", series.pin[:12], address)
    upstream.fetch_pin(git, address, series.pin, series.patterns)


def _create(layout: Layout, series: Series) -> None:
    """Create the repository, or complete one whose creation was interrupted."""
    git = layout.repository
    remove_stale_locks(layout)
    git.init()
    unborn = git.resolve("HEAD") is None
    if unborn and git.resolve(APPLIED):
        raise WorkspaceError(
            f"the current branch of {layout.path} has no commit",
            remedy="Check out one that has. If branch mfn-patch is lost, move the folder away, run "
            "`mfn-patch apply`, and copy your own files back.",
        )
    if unborn and git.out("ls-files", "--cached"):
        raise WorkspaceError(
            f"{layout.path} is a git repository with staged files but no commit",
            remedy="Use --workspace to name an empty folder or a clone of upstream.",
        )
    git.run("config", "core.autocrlf", "false")
    Transaction(git, layout.transaction).own_patterns()
    excluded = git.git_dir / "info" / "exclude"
    if not excluded.exists():
        patterns = "".join(f"{each}\n" for each in (*series.upstream.ignored, _SAVED))
        files.write(excluded, patterns.encode())
