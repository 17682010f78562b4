"""Rebasing the whole series onto another commit of upstream.

Patch after patch is merged onto the new commit, as commits beside the old chain. A conflict stops
the rebase, with the usual markers in the work tree and unmerged entries in the index. The files of
the project change when the last patch is done.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.applying import fetch_files
from mfn_patcher.patching.chain import commit_patch, read_chain
from mfn_patcher.patching.edit import describe_conflict, diff_of_patch, head
from mfn_patcher.patching.layout import SAVED, write_note
from mfn_patcher.patching.locked import lock
from mfn_patcher.patching.merge import Entry, change_tree, merge, write_blob
from mfn_patcher.patching.patchfile import PatchFormatError, parse_patch
from mfn_patcher.patching.project import PIN
from mfn_patcher.patching.rebase_state import (
    RebaseError,
    RebaseState,
    done_patches,
    forget_state,
    load_state,
)
from mfn_patcher.patching.transaction import Move
from mfn_patcher.patching.upstream import fetch_revision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfn_patcher.patching.chain import Link
    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.locked import LockedWorkspace
    from mfn_patcher.patching.merge import Conflict
    from mfn_patcher.patching.patchfile import Patch
    from mfn_patcher.patching.series import Series
    from mfn_patcher.patching.workspace import Workspace

_LOG = logging.getLogger(__name__)
_MARKERS = (b"<<<<<<< ", b">>>>>>> ")


class RebaseStoppedError(MfnPatchError):
    """A patch conflicts; the work tree contains the conflicts."""


@dataclass(frozen=True)
class Rebased:
    """The result of a rebase.

    Attributes:
        pin: the new pin.
        changed: names of the patch files that changed.
        dropped: names of the patches that had no changes left.
        renamed: new names by old ones, for patches renumbered because an earlier one was dropped.
    """

    pin: str
    changed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


def begin(workspace: Workspace, series: Series, address: str, revision: str) -> Rebased:
    """Rebase `series` onto another commit of upstream.

    Args:
        workspace: the workspace, with the whole series applied and no edits.
        series: the project's series.
        address: the address of upstream.
        revision: the name of a revision, as for `fetch_revision`.

    Raises:
        FetchError: the revision cannot be fetched.
        RebaseError: there are edits.
        RebaseStoppedError: a patch conflicts.
        WorkspaceError: the series is not applied, or a rebase is already in progress.
    """
    with lock(workspace.layout) as locked:
        links = workspace.require_applied(series)
        if locked.edits.find():
            raise RebaseError(
                f"{workspace.path} has changes of yours",
                remedy="Add them to a patch with `mfn-patch refresh` or `mfn-patch new`, or undo "
                "them; `mfn-patch diff --local` shows them.",
            )
        _LOG.info("fetching %s from %s", revision, address)
        onto = fetch_revision(workspace.repository, address, revision, series.patterns)
        if onto == series.pin:
            return Rebased(onto)
        fetch_files(workspace.layout, onto, address, series.patterns)
        tip = links[-1].commit if links else series.pin
        state = RebaseState(onto, series.pin, tip, parent=onto)
        return _Rebase(locked, series, links).run(state)


def resume(workspace: Workspace, series: Series) -> Rebased:
    """Take the resolved conflicts from the work tree, and continue.

    Raises:
        RebaseError: no rebase is in progress, or a conflict is not resolved.
        RebaseStoppedError: a later patch conflicts.
    """
    with lock(workspace.layout, rebasing=True) as locked:
        state = load_state(workspace.layout)
        links = read_chain(workspace.repository, state.pin, state.tip)
        started_with = [state.pin, *(link.digest for link in links)]
        if started_with != [series.pin, *(patch.digest for patch in series.patches)]:
            raise RebaseError(
                "the patches have changed since the rebase started",
                remedy="Restore them, or cancel the rebase with `mfn-patch rebase --abort`.",
            )
        rebase = _Rebase(locked, series, links)
        rebase.refuse_damaged(state)
        rebase.incomplete = not state.stopped
        if state.stopped:
            state = rebase.take_resolution(state)
        return rebase.run(state)


def abort(workspace: Workspace) -> str:
    """Restore the workspace, after saving resolved conflicts; return the pin.

    Raises:
        RebaseError: no rebase is in progress.
    """
    with lock(workspace.layout, rebasing=True) as locked:
        state = load_state(workspace.layout)
        git = workspace.repository
        tree = change_tree(git, locked.edits.tree(), state.submodules(git))
        known = {state.parent, state.tip, *state.shown}
        if tree not in {git.out("rev-parse", f"{each}^{{tree}}") for each in known}:
            saved = locked.edits.save(state.shown[-1] if state.shown else state.parent)
            _LOG.info("saved your changes as %s", saved.patch)
        if state.resolved:
            reference = f"{SAVED}/rebased/{state.parent[:12]}"
            git.run("update-ref", reference, state.parent)
            _LOG.info("saved the patches rebased so far as %s", reference)
        locked.transaction.run(Move(state.pin, state.tip, known=(tree, *known)))
        forget_state(workspace.layout)
        return state.pin


class _Rebase:
    """Rebases the patches of a series.

    Args:
        locked: the workspace.
        series: the project's series.
        links: the old chain.

    Attributes:
        incomplete: whether a kill may have left the work tree between two trees.
    """

    def __init__(self, locked: LockedWorkspace, series: Series, links: Sequence[Link]) -> None:
        self._locked = locked
        self._layout = locked.layout
        self._git = locked.layout.repository
        self._series = series
        self._links = links
        self._done = done_patches(locked.layout)
        self.incomplete = False

    def refuse_damaged(self, state: RebaseState) -> None:
        """Raise RebaseError if the state contradicts the series or the patches that are done."""
        possible = 0 <= state.done <= len(self._links) - state.stopped
        done = (patch.name for patch in self._series.patches[: state.done])
        if not possible or not all(n in state.dropped or (self._done / n).is_file() for n in done):
            raise RebaseError(
                f"{self._layout.rebase} does not fit the patches in {self._done}",
                remedy="Cancel the rebase with `mfn-patch rebase --abort`, and start it again.",
            )

    def run(self, state: RebaseState) -> Rebased:
        """Rebase the patches that are not done, and replace the project's series."""
        if state.done == 0:
            shutil.rmtree(self._done, ignore_errors=True)
        for number in range(state.done, len(self._links)):
            patch = self._series.patches[number]
            merged = merge(
                self._git,
                base=self._links[number - 1].commit if number else state.pin,
                ours=state.parent,
                theirs=self._links[number].commit,
                labels=(f"upstream at {state.onto[:12]}", patch.name),
                patch=patch,
            )
            if merged.conflicts:
                self._stop(state, patch, merged.tree, merged.conflicts)
            for it in merged.offsets:
                place = f"{patch.name}: {it.path}: hunk {it.hunk}"
                _LOG.info("%s moved by %+d lines", place, it.lines)
            state = self._finish_patch(state, patch, merged.tree)
        return self._finish(state)

    def take_resolution(self, state: RebaseState) -> RebaseState:
        """Finish the patch that stopped with the contents of the work tree.

        Raises:
            RebaseError: a conflict is not resolved.
        """
        patch = self._series.patches[state.done]
        unresolved = []
        submodules = state.submodules(self._git)
        for path, theirs, ours in self._unmerged():
            if path in submodules:
                unresolved.append(f"  {path}: run `git add` to keep upstream's submodule")
                continue
            file = self._git.work_tree / path
            if path in state.whole or not (theirs and ours):
                unresolved.append(f"  {path}: run `git add` to keep it, `git rm` to remove it")
                continue
            if not file.is_file() and not file.is_symlink():
                unresolved.append(f"  {path}: there is no such file; run `git rm` to remove it")
            elif not file.is_symlink():
                lines = file.read_bytes().split(b"\n")
                marked = [n for n, line in enumerate(lines, 1) if line.startswith(_MARKERS)]
                unresolved += [f"  {path}:{line}: a conflict marker" for line in marked[:1]]
        if unresolved:
            raise RebaseError(
                "\n".join([f"the conflicts of {patch.name} are not resolved:", *unresolved]),
                remedy=f"Edit the files in {self._layout.path}, then run "
                "`mfn-patch rebase --continue` again.",
            )
        tree = change_tree(self._git, self._locked.edits.tree(), submodules)
        state = replace(state, stopped=False, resolved=True, shown=(tree,), whole=())
        return self._finish_patch(state, patch, tree)

    def _unmerged(self) -> list[tuple[str, bool, bool]]:
        """Return each unmerged path, and whether the patch and upstream have the file."""
        listing = self._git.out("ls-files", "--unmerged", "-z")
        stages: dict[str, set[str]] = {}
        for entry in filter(None, listing.split("\0")):
            information, _, path = entry.partition("\t")
            stages.setdefault(path, set()).add(information.split()[2])
        return [(path, "3" in found, "2" in found) for path, found in stages.items()]

    def _finish_patch(self, state: RebaseState, patch: Patch, tree: str) -> RebaseState:
        """Return the state after `patch`, whose result is `tree`."""
        diff = diff_of_patch(self._git, state.parent, tree)
        state = replace(state, done=state.done + 1)
        if diff:
            file = self._done / patch.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(head(patch) + diff)
            try:
                renewed = parse_patch(self._done, patch.name)
            except PatchFormatError as error:  # such as a link in the place of a file
                raise RebaseError(
                    f"{patch.name}: {error.problem.message}",
                    remedy=f"Change the files in {self._layout.path}, then run "
                    "`mfn-patch rebase --continue` again.",
                ) from error
            if _blobs(renewed) == _blobs(patch):
                # The patched files did not change, so the diff keeps its form.
                file.write_bytes(patch.data)
            state = replace(state, parent=commit_patch(self._git, renewed, tree, state.parent))
        else:
            _LOG.info("dropped %s, which has no changes left", patch.name)
            state = replace(state, dropped=(*state.dropped, patch.name))
        if self._layout.rebase.exists():
            write_note(self._layout.rebase, state)
        return state

    def _stop(
        self, state: RebaseState, patch: Patch, tree: str, conflicts: Sequence[Conflict]
    ) -> None:
        """Write the conflicts to the work tree and the index, and raise."""
        _refuse_blocked(patch, conflicts)
        git = self._git
        merged = {
            conflict.path: Entry(conflict.ours.mode, write_blob(git, conflict.content))
            for conflict in conflicts
            if conflict.content is not None
        }
        shown = change_tree(git, tree, merged)
        move = Move(state.onto, state.parent, tree=shown, known=(state.parent, *state.shown))
        if not self.incomplete:
            self._locked.transaction.check(move)
        whole = tuple(conflict.path for conflict in conflicts if conflict.content is None)
        state = replace(state, shown=(*state.shown, shown), whole=whole)
        # Stored before anything moves, so that --abort works at any moment.
        write_note(self._layout.rebase, state)
        self._locked.set_aside(move)
        self._locked.transaction.run(move)
        _mark_unmerged(git, conflicts)
        write_note(self._layout.rebase, replace(state, stopped=True, shown=(shown,)))
        rows = [
            f"  {describe_conflict(conflict, patch.name)}{self._same_name(state.onto, conflict)}"
            for conflict in conflicts
        ]
        title = f"patch {state.done + 1} of {len(self._links)} conflicts: {patch.name}"
        raise RebaseStoppedError(
            "\n".join([title, *rows]),
            remedy=f"Edit the files in {self._layout.path}, then run `mfn-patch rebase "
            "--continue`; or cancel with `mfn-patch rebase --abort`.",
        )

    def _same_name(self, onto: str, conflict: Conflict) -> str:
        """Return a remark about files with the name of a missing file, which may have moved."""
        if conflict.ours:
            return ""
        name = conflict.path.rpartition("/")[2]
        found = [path for path in self._git.entries(onto) if path.rpartition("/")[2] == name]
        return f"; files of this name: {', '.join(found)}" if found else ""

    def _finish(self, state: RebaseState) -> Rebased:
        kept = [patch for patch in self._series.patches if patch.name not in state.dropped]
        names = {}
        count: Counter[str] = Counter()
        for patch in kept:
            count[patch.stack] += 1
            _, _, slug = patch.name.partition("-")
            names[patch.name] = f"{patch.stack}/{count[patch.stack]:04d}-{slug}"
        changed = {
            f"patches/{name}": (self._done / old).read_bytes() for old, name in names.items()
        }
        changed[PIN] = f"{state.onto}\n".encode()
        self._locked.adopt(self._series, changed, known=state.shown, names=names)
        shutil.rmtree(self._done, ignore_errors=True)
        return Rebased(
            state.onto,
            tuple(
                names[patch.name]
                for patch in kept
                if changed[f"patches/{names[patch.name]}"] != patch.data
            ),
            state.dropped,
            {old: name for old, name in names.items() if old != name},
        )


def _blobs(patch: Patch) -> list[tuple[str, str, str]]:
    return [(file.path, file.source_blob, file.target_blob) for file in patch.files]


def _refuse_blocked(patch: Patch, conflicts: Sequence[Conflict]) -> None:
    """Raise RebaseError if something is in the place of a new file."""
    blocked = [conflict for conflict in conflicts if conflict.blocked_by]
    if blocked:
        rows = [f"  {describe_conflict(conflict, patch.name)}" for conflict in blocked]
        raise RebaseError(
            "\n".join([f"{patch.name} cannot be rebased:", *rows]),
            remedy="Return to the old pin with `mfn-patch rebase --abort`. There, rename the file "
            "with `mfn-patch refresh`, or remove the patch from the series.",
        )


def _mark_unmerged(git: Repository, conflicts: Sequence[Conflict]) -> None:
    """Write the three sides of each conflict to the index."""
    orders = []
    for conflict in conflicts:
        orders.append(f"0 {'0' * 40}\t{conflict.path}\0")
        sides = enumerate((conflict.base, conflict.ours, conflict.theirs), 1)
        orders += [f"{e.mode} {e.blob} {n}\t{conflict.path}\0" for n, e in sides if e]
    listing = "".join(orders).encode(errors="surrogateescape")
    git.run("update-index", "-z", "--index-info", stdin=listing)
