"""Moving the work tree from one commit to another, without losing anything.

Before a move, each file that it would change is compared with the commits involved, regardless of
git's index: its content must be in one of them. Then the move is recorded in a note, and git makes
it, file by file. A command that finds such a note finishes the move before anything else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mfn_patcher import files
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import worktree
from mfn_patcher.patching.git import GitError
from mfn_patcher.patching.layout import APPLIED, BRANCH, PIN, read_note, unused_path, write_note
from mfn_patcher.patching.sparse import matches
from mfn_patcher.typed_json import FileName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mfn_patcher.patching.git import Repository

_SPARSE_MARK = "# Written by mfn-patch: the paths of upstream.toml and of the patches.\n"

_MOST_NAMES = 20  # listed in a message

Entry = tuple[str, str]  # mode and blob, as in a tree


class InTheWayError(MfnPatchError):
    """A move would overwrite or remove contents that exist nowhere else; nothing was changed."""

    def __init__(self, foreign: list[str]) -> None:
        more = len(foreign) - _MOST_NAMES
        rows = [f"  {path}" for path in foreign[:_MOST_NAMES]]
        rows += [f"  and {more} more"] if more > 0 else []
        super().__init__(
            "\n".join(["these would be overwritten, but are not from mfn-patch:", *rows]),
            remedy="Move them away and run the command again.",
        )


class SameNameError(MfnPatchError):
    """The file system takes two files of a commit for one; nothing was changed."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(
            f"the file system of the workspace takes {one} and {other} for one file",
            remedy="Use --workspace to name a folder on a file system that distinguishes upper and "
            "lower case, or leave one of them out of `paths` in upstream.toml.",
        )


@dataclass(frozen=True)
class Move:
    """A move of branch, index and work tree.

    Attributes:
        pin: the start of the chain that the branch will contain.
        to: the tip of this chain.
        tree: the tree of index and work tree after the move; that of `to` if empty.
        known: trees and commits whose contents may vanish from the work tree, because they are
            stored elsewhere.
        patterns: the paths to check out, as sparse checkout patterns; None keeps the current ones.
    """

    pin: str
    to: str
    tree: str = ""
    known: tuple[str, ...] = ()
    patterns: tuple[FileName, ...] | None = None

    @property
    def target(self) -> str:
        """The tree, or the commit with the tree, of the work tree after the move."""
        return self.tree or self.to


@dataclass(frozen=True)
class _Begun:
    """The note of a move in progress.

    Attributes:
        move: the move.
        head: the commit that the work tree was at.
        skipped: tracked paths that were not checked out.
    """

    move: Move
    head: str | None
    skipped: tuple[FileName, ...]


@dataclass
class _Plan:
    """What a move does to the work tree.

    Attributes:
        foreign: paths of files, links and the like whose contents would be lost.
        written: paths that the move writes.
        removed: paths that the move removes.
        moved: whether a path already has its new content.
        differing: paths that differ between the commits, which git may write even so.
    """

    foreign: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    moved: bool = False
    differing: list[str] = field(default_factory=list)


class Transaction:
    """Moves branch, index and work tree together.

    Args:
        repository: the repository of the workspace.
        note: the file that records the move in progress.
    """

    def __init__(self, repository: Repository, note: Path) -> None:
        self._git = repository
        self._note = note
        self._sparse = repository.git_dir / "info" / "sparse-checkout"

    @property
    def interrupted(self) -> bool:
        """Whether a move was interrupted."""
        return self._note.exists()

    def check(self, move: Move) -> None:
        """Check that `move` would lose nothing.

        Raises:
            InTheWayError: it would.
            ReadOnlyError: a folder cannot be written.
            SameNameError: two files have names that the file system does not distinguish.
        """
        plan = self._plan(move, self._git.resolve("HEAD"), self._skipped())
        if plan.foreign:
            raise InTheWayError(plan.foreign)
        worktree.refuse_read_only(self._git.work_tree, plan.differing)

    def run(self, move: Move) -> None:
        """Make `move`.

        Raises:
            InTheWayError: something would be lost; nothing was changed.
        """
        self.check(move)
        head, skipped = self._git.resolve("HEAD"), self._skipped()
        write_note(self._note, _Begun(move, head, tuple(sorted(skipped))))
        self._write_patterns(move.patterns)
        if move.tree:
            self._complete(move, head, skipped)
            return
        try:
            branch = BRANCH.rpartition("/")[2]
            how = ("checkout", "--quiet", "--no-track", "--force", "-B", branch, move.to)
            self._git.run(*how, uninterruptible=True)
        except GitError:
            if self._git.resolve("HEAD") == head:
                plan = self._plan(move, head, skipped)
                if not plan.moved and not plan.foreign:
                    self._note.unlink()  # git refused before it changed anything
            raise
        self._settle(move)

    def finish(self, saved: Path) -> Path | None:
        """Finish the move that was interrupted.

        Files in the way were created since, or written incompletely, and are moved away.

        Args:
            saved: the folder to move them to.

        Returns:
            The folder with the files that were moved away, if there were any.
        """
        begun = read_note(self._note, _Begun)
        move, head, skipped = begun.move, begun.head, set(begun.skipped)
        aside = self.set_aside(move, saved, head=head, skipped=skipped)
        self._write_patterns(move.patterns)
        self._complete(move, head, skipped)
        return aside

    def _complete(self, move: Move, head: str | None, skipped: set[str]) -> None:
        """Do the remaining part of `move`, wherever it was interrupted."""
        plan = self._plan(move, head, skipped)
        git, shows = self._git, self._shows(move, skipped)
        git.run("read-tree", move.target)
        hidden = [path for path in git.entries(move.target) if not shows(path)]
        git.run("update-index", "--skip-worktree", "-z", "--stdin", stdin=_listing(hidden))
        for path in plan.removed:
            worktree.remove(git.work_tree, path)
        written = _listing(plan.written)
        git.run("checkout-index", "--force", "--quiet", "-u", "-z", "--stdin", stdin=written)
        git.run("update-index", "-q", "--refresh", expected=(0, 1))
        git.run("update-ref", BRANCH, move.to)
        git.run("symbolic-ref", "HEAD", BRANCH)
        self._settle(move)

    def set_aside(
        self,
        move: Move,
        saved: Path,
        *,
        head: str | None = None,
        skipped: set[str] | None = None,
    ) -> Path | None:
        """Move away the files that `move` would overwrite, and return the folder with them.

        Args:
            move: the move.
            saved: the folder to move them to, below the work tree.
            head: the commit that the work tree was at; the current one by default.
            skipped: tracked paths that were not checked out; the current ones by default.
        """
        root = self._git.work_tree
        if skipped is None:
            head, skipped = self._git.resolve("HEAD"), self._skipped()
        foreign = self._plan(move, head, skipped).foreign
        if not foreign:
            return None
        folder = unused_path(saved, time.strftime("%Y%m%dT%H%M%S"))
        for path in foreign:
            place = worktree.make_parents(root, f"{folder.relative_to(root).as_posix()}/{path}")
            (root / path).rename(place)
        return folder

    def _plan(self, move: Move, head: str | None, skipped: set[str]) -> _Plan:
        """Compare the work tree with the commits involved."""
        shows = self._shows(move, skipped)
        sides = [self._git.entries(side) for side in (head, *move.known) if side]
        everything = self._git.entries(move.target)
        target = {p: e for p, e in everything.items() if shows(p)}
        shown = [{p: e for p, e in side.items() if p not in skipped} for side in sides]
        kept: dict[str, set[Entry]] = {}
        fold = self._fold()
        for side in (*shown, target):
            for path, entry in side.items():
                kept.setdefault(fold(path), set()).add(entry)
        names: dict[str, str] = {}
        for path in target:
            if (other := names.setdefault(fold(path), path)) != path:
                raise SameNameError(other, path)
        plan = _Plan()
        unseen = self._unseen()
        for path in sorted(set(target).union(*shown)):
            differs = not shown or any(side.get(path) != target.get(path) for side in shown)
            if differs or path in unseen:
                plan.differing.append(path)
                self._plan_path(plan, path, target.get(path), kept, fold)
        plan.foreign += self._hidden_edits(skipped, [*sides, everything])
        # On a file system that ignores case, a file can be the old name of another.
        removed = {fold(path) for path in plan.removed}
        plan.written += [p for p in target if fold(p) in removed and p not in plan.written]
        plan.foreign = sorted(set(plan.foreign))
        return plan

    def _hidden_edits(self, skipped: set[str], sides: list[dict[str, Entry]]) -> Iterable[str]:
        """Yield edited files that git keeps out of sight, and so would refuse to move."""
        if self._git.out("config", "--bool", "core.sparseCheckout", expected=(0, 1)) == "true":
            return  # there, git leaves them alone
        for path in skipped:
            entries = {side.get(path) for side in sides}
            found = worktree.look(self._git.work_tree, path) if len(entries) > 1 else None
            if found and not any(found.is_blob(self._git, path, *it) for it in entries if it):
                yield path

    def _plan_path(
        self,
        plan: _Plan,
        path: str,
        wanted: Entry | None,
        kept: Mapping[str, set[Entry]],
        fold: Callable[[str], str],
    ) -> None:
        root = self._git.work_tree
        blocked = worktree.obstacle(root, path)
        found = worktree.look(root, path)
        if found is None:
            if wanted:
                plan.written.append(path)
                if blocked and fold(blocked) not in kept:
                    plan.foreign.append(blocked)
            return

        def holds(entry: Entry) -> bool:
            return found.is_blob(self._git, path, *entry)

        if wanted and holds(wanted):
            plan.moved = True
            if found.mode != wanted[0]:
                plan.written.append(path)
        elif found.mode == worktree.FOLDER:
            if wanted:
                plan.written.append(path)
                inside = worktree.below(root, path)
                plan.foreign += [other for other in inside if fold(other) not in kept]
        elif any(holds(entry) for entry in kept[fold(path)]):
            (plan.written if wanted else plan.removed).append(path)
        else:
            plan.foreign.append(path)
            if wanted:
                plan.written.append(path)

    def _shows(self, move: Move, skipped: set[str]) -> Callable[[str], bool]:
        """Return a function that says whether the work tree will contain a path."""
        if not self.owns_patterns:
            return lambda path: path not in skipped
        patterns = move.patterns
        if patterns is None:
            lines = os.fsdecode(self._sparse.read_bytes()).removeprefix(_SPARSE_MARK)
            patterns = tuple(lines.splitlines())
        return lambda path: matches(path, patterns)

    def _skipped(self) -> set[str]:
        """Return the tracked paths that are not checked out."""
        listing = self._git.out("ls-files", "-t", "-z").split("\0")
        return {line[2:] for line in listing if line.startswith("S ")}

    def _unseen(self) -> set[str]:
        """Return the tracked paths that `git status` was told not to look at.

        `git checkout --force` does look at them, and undoes every edit.
        """
        listing = self._git.out("ls-files", "-v", "-z").split("\0")
        return {line[2:] for line in listing if line[:1].islower()}

    def _fold(self) -> Callable[[str], str]:
        ignores = self._git.out("config", "--bool", "core.ignorecase", expected=(0, 1))
        return str.casefold if ignores == "true" else str

    @property
    def owns_patterns(self) -> bool:
        """Whether mfn-patch determines which paths are checked out, and not the user."""
        return self._sparse.exists() and self._sparse.read_bytes().startswith(_SPARSE_MARK.encode())

    def own_patterns(self) -> None:
        """Restrict the paths that git checks out in a new workspace to those of mfn-patch."""
        self._git.run("config", "core.sparseCheckout", "true")
        self._sparse.parent.mkdir(exist_ok=True)
        self._sparse.write_text(_SPARSE_MARK)

    def _write_patterns(self, patterns: Iterable[str] | None) -> None:
        if patterns is not None and self.owns_patterns:
            lines = (_SPARSE_MARK, *(f"{line}\n" for line in patterns))
            # Never half written: an empty file would be the user's, and hide everything.
            files.write(self._sparse, os.fsencode("".join(lines)))

    def _settle(self, move: Move) -> None:
        orders = f"update {PIN} {move.pin}\nupdate {APPLIED} {move.to}\n"
        self._git.run("update-ref", "--stdin", stdin=orders.encode())
        self._note.unlink()


def _listing(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
