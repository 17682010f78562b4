"""Carrying the whole series to another commit of upstream.

Patch after patch is merged onto the new commit, as commits beside the old chain. A patch that
needs a decision stops it, with the usual markers in the work tree and unmerged entries in the
index, as git leaves them. The project's files change when the last patch has been carried.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.chain import commit_patch, read_chain
from mfn_patcher.patching.edit import describe_conflict, diff_of_patch, head
from mfn_patcher.patching.merge import Entry, change_tree, merge, write_blob
from mfn_patcher.patching.series import parse_patch
from mfn_patcher.patching.transaction import Move, write_note
from mfn_patcher.patching.upstream import fetch_revision
from mfn_patcher.patching.workspace import REBASE, patterns
from mfn_patcher.patching.worktree import SUBMODULE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfn_patcher.patching.chain import Link
    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.merge import Conflict
    from mfn_patcher.patching.series import Patch, Series
    from mfn_patcher.patching.workspace import Held, Workspace

_MARKERS = (b"<<<<<<< ", b">>>>>>> ")


class RebaseError(MfnPatchError):
    """A rebase can't begin or go on; nothing was changed."""


class RebaseStoppedError(MfnPatchError):
    """A patch needs a decision of the user's; the work tree shows it."""


@dataclass(frozen=True)
class _State:
    """A rebase that is under way.

    Attributes:
        onto: the new pin.
        pin, tip: the two ends of the old chain.
        parent: the commit that the next patch is carried to.
        done: how many patches are.
        dropped: those of them of which nothing was left.
        stopped: whether the work tree shows the next patch, for the user to decide.
        shown: trees that the work tree was made to show, or that the user decided on.
        whole: paths that are decided as a whole, for they cannot be merged line by line.
    """

    onto: str
    pin: str
    tip: str
    parent: str
    done: int = 0
    dropped: tuple[str, ...] = ()
    stopped: bool = False
    shown: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class Carried:
    """What a rebase did.

    Attributes:
        pin: the new pin.
        changed: names of the patch files that are others now.
        dropped: names of the patches of which nothing was left.
        renamed: new names by old ones, where a number is another after a patch was dropped.
    """

    pin: str
    changed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


def begin(
    workspace: Workspace,
    series: Series,
    address: str,
    revision: str,
) -> Carried:
    """Carry `series` to another commit of upstream.

    Args:
        workspace: all of the series must be applied in it, and nothing edited.
        series: the project's.
        address: where upstream is.
        revision: as `fetch_revision` takes it.

    Raises:
        FetchError: the revision can't be had.
        RebaseError: there are edits.
        RebaseStoppedError: a patch needs a decision.
        WorkspaceError: the series is not applied, or a rebase is under way already.
    """
    with workspace.locked() as held:
        links = held.applied(series)
        if held.edits():
            raise RebaseError(
                f"{workspace.path} has changes of yours",
                remedy="Put them into a patch with `mfn-patch refresh` or `mfn-patch new`, or "
                "undo them: see `mfn-patch diff --local`.",
            )
        workspace.report(f"fetching {revision} from {address}")
        onto = fetch_revision(workspace.repository, address, revision, patterns(series))
        if onto == series.pin:
            return Carried(onto)
        workspace.bring_files(onto, address, patterns(series))
        tip = links[-1].commit if links else series.pin
        return _Rebase(workspace, held, series, links).go(
            _State(onto, series.pin, tip, parent=onto)
        )


def resume(workspace: Workspace, series: Series) -> Carried:
    """Take the work tree for the patch that stopped, and go on.

    Raises:
        RebaseError: no rebase is under way, or something is not decided yet.
        RebaseStoppedError: the next patch needs a decision.
    """
    with workspace.locked(rebasing=True) as held:
        state = _read(held)
        links = read_chain(workspace.repository, state.pin, state.tip)
        begun_with = [state.pin, *(link.digest for link in links)]
        if begun_with != [series.pin, *(patch.digest for patch in series.patches)]:
            raise RebaseError(
                "the patches are not those that the rebase began with",
                remedy="Bring them back, or give up with `mfn-patch rebase --abort`.",
            )
        rebase = _Rebase(workspace, held, series, links)
        rebase.torn = not state.stopped
        if state.stopped:
            state = rebase.take_decision(state)
        return rebase.go(state)


def abort(workspace: Workspace) -> str:
    """Bring the workspace back to what it was, saving decisions made so far; return the pin.

    Raises:
        RebaseError: no rebase is under way.
    """
    with workspace.locked(rebasing=True) as held:
        state = _read(held)
        git = workspace.repository
        tree = change_tree(git, workspace.tree(), _submodules(git, state))
        known = {state.parent, state.tip, *state.shown}
        if tree not in {git.out("rev-parse", f"{each}^{{tree}}") for each in known}:
            saved = workspace.save(state.shown[-1] if state.shown else state.parent)
            workspace.report(f"your changes were saved: {saved.patch}")
        held.switch.to(Move(state.pin, state.tip, known=(tree, *known)))
        _forget(held)
        return state.pin


def _read(held: Held) -> _State:
    path = held.own / REBASE
    if not path.exists():
        raise RebaseError(
            "no rebase is under way", remedy="Begin one with `mfn-patch rebase --onto REV`."
        )
    values: dict[str, Any] = json.loads(path.read_text())
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return _State(**{**values, **lists})


def _submodules(repository: Repository, state: _State) -> dict[str, Entry]:
    """Return the submodules of upstream that conflict with the patch that stopped.

    No patch can change one, so they stay, though git forgets a submodule whose folder is empty.
    """
    there = repository.entries(state.parent)
    found = {path: Entry(*there[path]) for path in state.whole if path in there}
    return {path: entry for path, entry in found.items() if entry.mode == SUBMODULE}


def _blobs(patch: Patch) -> list[tuple[str, str, str]]:
    return [(file.path, file.source_blob, file.target_blob) for file in patch.files]


def _forget(held: Held) -> None:
    (held.own / REBASE).unlink()
    shutil.rmtree(held.own / "rebased", ignore_errors=True)


class _Rebase:
    """Carries the patches of a series, from where a state says."""

    def __init__(
        self,
        workspace: Workspace,
        held: Held,
        series: Series,
        links: Sequence[Link],
    ) -> None:
        self._workspace = workspace
        self._git = workspace.repository
        self._held = held
        self._series = series
        self._links = links
        # Whether the work tree may be half of one tree and half of another.
        self.torn = False
        # The patches that were carried, under their old names.
        self._carried = held.own / "rebased"

    def go(self, state: _State) -> Carried:
        """Carry what is left to do, and put the result in the place of the series."""
        if state.done == 0:
            shutil.rmtree(self._carried, ignore_errors=True)
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
                self._workspace.report(f"{place} moved by {it.lines:+d} lines")
            state = self._settle(state, patch, merged.tree)
        return self._finish(state)

    def take_decision(self, state: _State) -> _State:
        """Make the work tree what the patch leaves.

        Raises:
            RebaseError: something in it is not decided.
        """
        patch = self._series.patches[state.done]
        undecided = []
        decided = []
        submodules = _submodules(self._git, state)
        for path, theirs, ours in self._unmerged():
            if path in submodules:
                undecided.append(f"  {path}: `git add` it to leave upstream's submodule there")
                continue
            file = self._git.work_tree / path
            if path in state.whole or not (theirs and ours):
                undecided.append(
                    f"  {path}: `git add` it if it is to stay, `git rm` it if it is to go"
                )
                continue
            with contextlib.suppress(FileNotFoundError):
                lines = file.read_bytes().split(b"\n")
                marked = [n for n, line in enumerate(lines, 1) if line.startswith(_MARKERS)]
                undecided += [f"  {path}:{line}: a conflict marker" for line in marked[:1]]
            decided.append(path)
        if undecided:
            raise RebaseError(
                "\n".join([f"{patch.name} is not decided yet:", *undecided]),
                remedy=f"Edit the files in {self._workspace.path}, then --continue again.",
            )
        tree = change_tree(self._git, self._workspace.tree(), submodules)
        state = replace(state, stopped=False, shown=(tree,), whole=())
        return self._settle(state, patch, tree)

    def _unmerged(self) -> list[tuple[str, bool, bool]]:
        """Return the unmerged paths, and whether either side has the file."""
        listing = self._git.out("ls-files", "--unmerged", "-z")
        stages: dict[str, set[str]] = {}
        for entry in filter(None, listing.split("\0")):
            information, _, path = entry.partition("\t")
            stages.setdefault(path, set()).add(information.split()[2])
        return [(path, "3" in found, "2" in found) for path, found in stages.items()]

    def _settle(self, state: _State, patch: Patch, tree: str) -> _State:
        """Note that a patch was carried, and leaves `tree`."""
        diff = diff_of_patch(self._git, state.parent, tree)
        state = replace(state, done=state.done + 1)
        if diff:
            file = self._carried / patch.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(head(patch) + diff)
            renewed = parse_patch(self._carried, patch.name)
            if _blobs(renewed) == _blobs(patch):
                # What it touches is as it was: a diff that was written otherwise stays so.
                file.write_bytes(patch.data)
            state = replace(state, parent=commit_patch(self._git, renewed, tree, state.parent))
        else:
            self._workspace.report(f"nothing is left of {patch.name}, so it is dropped")
            state = replace(state, dropped=(*state.dropped, patch.name))
        if (self._held.own / REBASE).exists():
            write_note(self._held.own / REBASE, state.__dict__)
        return state

    def _stop(self, state: _State, patch: Patch, tree: str, conflicts: Sequence[Conflict]) -> None:
        """Show the conflicts in the work tree, and raise."""
        blocked = [conflict for conflict in conflicts if conflict.blocked_by]
        if blocked:
            rows = [f"  {describe_conflict(conflict, patch.name)}" for conflict in blocked]
            raise RebaseError(
                "\n".join([f"{patch.name} cannot be carried over:", *rows]),
                remedy="On the old pin, give the file another name with `mfn-patch refresh`, or "
                "take the patch out of the series; `mfn-patch rebase --abort` goes back there.",
            )
        git = self._git
        merged = {
            conflict.path: Entry(conflict.ours.mode, write_blob(git, conflict.content))
            for conflict in conflicts
            if conflict.content is not None
        }
        shown = change_tree(git, tree, merged)
        move = Move(state.onto, state.parent, tree=shown, known=(state.parent, *state.shown))
        if not self.torn:
            self._held.switch.refuse_loss(move)
        whole = tuple(conflict.path for conflict in conflicts if conflict.content is None)
        state = replace(state, shown=(*state.shown, shown), whole=whole)
        # Written down before anything moves: --abort finds its way back from every moment.
        write_note(self._held.own / REBASE, state.__dict__)
        self._held.rescue(move)
        self._held.switch.to(move)
        orders = []
        for conflict in conflicts:
            orders.append(f"0 {'0' * 40}\t{conflict.path}\0")
            sides = enumerate((conflict.base, conflict.ours, conflict.theirs), 1)
            orders += [f"{e.mode} {e.blob} {n}\t{conflict.path}\0" for n, e in sides if e]
        listing = "".join(orders).encode(errors="surrogateescape")
        git.run("update-index", "-z", "--index-info", stdin=listing)
        state = replace(state, stopped=True, shown=(shown,))
        write_note(self._held.own / REBASE, state.__dict__)
        rows = [
            f"  {describe_conflict(conflict, patch.name)}{self._namesakes(state.onto, conflict)}"
            for conflict in conflicts
        ]
        raise RebaseStoppedError(
            "\n".join(
                [
                    f"patch {state.done + 1} of {len(self._links)} needs a decision: {patch.name}",
                    *rows,
                ]
            ),
            remedy=f"Mend the files in {self._workspace.path}, then run `mfn-patch rebase "
            "--continue`; or go back with `mfn-patch rebase --abort`.",
        )

    def _namesakes(self, onto: str, conflict: Conflict) -> str:
        """Say where files of a vanished file's name are: it may have moved there."""
        if conflict.ours:
            return ""
        name = conflict.path.rpartition("/")[2]
        listing = self._git.out("ls-tree", "-r", "-z", "--full-tree", "--name-only", onto)
        places = [path for path in listing.split("\0") if path.rpartition("/")[2] == name]
        return f"; of its name there are {', '.join(places)}" if places else ""

    def _finish(self, state: _State) -> Carried:
        kept = [patch for patch in self._series.patches if patch.name not in state.dropped]
        names = {}
        count: Counter[str] = Counter()
        for patch in kept:
            count[patch.stack] += 1
            _, _, slug = patch.name.partition("-")
            names[patch.name] = f"{patch.stack}/{count[patch.stack]:04d}-{slug}"
        changed = {
            f"patches/{name}": (self._carried / old).read_bytes() for old, name in names.items()
        }
        changed["pinned_commit.txt"] = f"{state.onto}\n".encode()
        self._held.adopt(self._series, changed, names, known=state.shown)
        shutil.rmtree(self._carried, ignore_errors=True)
        return Carried(
            state.onto,
            tuple(
                names[patch.name]
                for patch in kept
                if changed[f"patches/{names[patch.name]}"] != patch.data
            ),
            state.dropped,
            {old: name for old, name in names.items() if old != name},
        )
