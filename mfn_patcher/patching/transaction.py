"""Moving the work tree from one commit to another, so that nothing is lost.

Before anything moves, each file that the move would change is looked at: it must be what one of
the commits involved keeps, whatever git's index says of it. Then the move is written down and made
by git, file by file. A command that finds such a note finishes the move before anything else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import worktree
from mfn_patcher.patching.git import GitError
from mfn_patcher.patching.upstream import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mfn_patcher.patching.git import Repository

BRANCH = "refs/heads/mfn-patch"
PIN = "refs/mfn-patch/pin"
APPLIED = "refs/mfn-patch/applied"
_SPARSE_MARK = "# Written by mfn-patch: what training, verification and the patches need.\n"

_MOST_NAMES = 20  # in a message

Entry = tuple[str, str]  # mode and blob, as a tree has them


class InTheWayError(MfnPatchError):
    """The move would overwrite or remove what is kept nowhere else; nothing was changed."""

    def __init__(self, strangers: list[str]) -> None:
        more = len(strangers) - _MOST_NAMES
        rows = [f"  {path}" for path in strangers[:_MOST_NAMES]]
        rows += [f"  and {more} more"] if more > 0 else []
        super().__init__(
            "\n".join(["these would be overwritten, and mfn-patch did not write them:", *rows]),
            remedy="Move them out of the way and run the command again.",
        )


def write_note(path: Path, note: Mapping[str, Any]) -> None:
    """Write a note for the command that follows a killed one; it is there whole or not at all."""
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(note, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def fresh(folder: Path, name: str, suffix: str = "") -> Path:
    """Return a path in `folder` that nothing stands at: `name`, or `name` with a number."""
    path, number = folder / f"{name}{suffix}", 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{name}-{number}{suffix}"
    return path


@dataclass(frozen=True)
class Move:
    """A move of branch, index and work tree.

    Attributes:
        pin, to: the two ends of the chain that the branch will hold.
        tree: what index and work tree will show; that of `to` unless something else is named.
        known: trees and commits whose contents are kept; they may go from the work tree.
        patterns: the paths to show, as sparse checkout patterns; None shows what is shown now.
    """

    pin: str
    to: str
    tree: str = ""
    known: tuple[str, ...] = ()
    patterns: tuple[str, ...] | None = None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Move:
        """Return the move that was written down as `asdict` gives it."""
        patterns = value["patterns"]
        return Move(
            value["pin"],
            value["to"],
            value["tree"],
            tuple(value["known"]),
            None if patterns is None else tuple(patterns),
        )

    @property
    def target(self) -> str:
        """The tree, or the commit with the tree, that the work tree will show."""
        return self.tree or self.to


@dataclass
class _Plan:
    """What a move does to the work tree.

    Attributes:
        strangers: what would be lost: paths of files, links, and other things.
        written, removed: the paths that change.
        moved: whether some path shows already what it will.
    """

    strangers: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    moved: bool = False


class Switch:
    """Moves the branch, the index and the work tree of `repository` together.

    Args:
        repository: the workspace's.
        note: the file that says which move is under way.
    """

    def __init__(self, repository: Repository, note: Path) -> None:
        self._git = repository
        self._note = note
        self._sparse = repository.git_dir / "info" / "sparse-checkout"

    @property
    def begun(self) -> bool:
        """Whether a move was cut short."""
        return self._note.exists()

    def refuse_loss(self, move: Move) -> None:
        """Raise unless `move` can be made without losing anything.

        Raises:
            InTheWayError: it cannot.
        """
        plan = self._plan(move, self._git.resolve("HEAD"), self._skipped())
        if plan.strangers:
            raise InTheWayError(plan.strangers)

    def to(self, move: Move) -> None:
        """Make `move`.

        Raises:
            InTheWayError: something would be lost; nothing was changed.
        """
        self.refuse_loss(move)
        head, skipped = self._git.resolve("HEAD"), self._skipped()
        note = {"move": asdict(move), "from": head, "skipped": sorted(skipped)}
        write_note(self._note, note)
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
                if not plan.moved and not plan.strangers:
                    self._note.unlink()  # git refused before it touched anything
            raise
        self._settle(move)

    def finish(self, saved: Path) -> Path | None:
        """Finish the move that was cut short.

        What stands in the way was put there since, or cut off in the middle: it is moved aside.

        Args:
            saved: the folder for that.

        Returns:
            The folder with what was moved aside, if there was anything.
        """
        note = json.loads(self._note.read_text())
        move, head, skipped = Move.from_json(note["move"]), note["from"], set(note["skipped"])
        aside = self.rescue(move, saved, head=head, skipped=skipped)
        self._write_patterns(move.patterns)
        self._complete(move, head, skipped)
        return aside

    def _complete(self, move: Move, head: str | None, skipped: set[str]) -> None:
        """Make what is left to do of `move`, wherever it was cut short."""
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

    def rescue(
        self,
        move: Move,
        saved: Path,
        *,
        head: str | None = None,
        skipped: set[str] | None = None,
    ) -> Path | None:
        """Move aside what `move` would overwrite, and return the folder that has it then.

        Args:
            move: what is to be made.
            saved: a folder below the work tree.
            head: the commit that the work tree was at, by default the current one.
            skipped: tracked paths that the work tree did not show, by default the current ones.
        """
        root = self._git.work_tree
        if skipped is None:
            head, skipped = self._git.resolve("HEAD"), self._skipped()
        strangers = self._plan(move, head, skipped).strangers
        if not strangers:
            return None
        folder = fresh(saved, time.strftime("%Y%m%dT%H%M%S"))
        for path in strangers:
            place = worktree.make_parents(root, f"{folder.relative_to(root).as_posix()}/{path}")
            (root / path).rename(place)
        return folder

    def _plan(self, move: Move, head: str | None, skipped: set[str]) -> _Plan:
        """Compare what stands in the work tree with what the commits involved have there."""
        shows = self._shows(move, skipped)
        sides = [self._git.entries(side) for side in (head, *move.known) if side]
        target = {p: e for p, e in self._git.entries(move.target).items() if shows(p)}
        shown = [{p: e for p, e in side.items() if p not in skipped} for side in sides]
        kept: dict[str, set[Entry]] = {}
        fold = self._fold()
        for side in (*shown, target):
            for path, entry in side.items():
                kept.setdefault(fold(path), set()).add(entry)
        plan = _Plan()
        for path in sorted(set(target).union(*shown)):
            if not shown or any(side.get(path) != target.get(path) for side in shown):
                self._plan_path(plan, path, target.get(path), kept, fold)
        # Where case does not count, a file can be another's old name.
        removed = {fold(path) for path in plan.removed}
        plan.written += [p for p in target if fold(p) in removed and p not in plan.written]
        plan.strangers = sorted(set(plan.strangers))
        return plan

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
                    plan.strangers.append(blocked)
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
                plan.strangers += [other for other in inside if fold(other) not in kept]
        elif any(holds(entry) for entry in kept[fold(path)]):
            (plan.written if wanted else plan.removed).append(path)
        else:
            plan.strangers.append(path)
            if wanted:
                plan.written.append(path)

    def _shows(self, move: Move, skipped: set[str]) -> Callable[[str], bool]:
        """Return whether the work tree will show a path, as a function of it."""
        if not self.is_ours:
            return lambda path: path not in skipped
        patterns = move.patterns
        if patterns is None:
            lines = os.fsdecode(self._sparse.read_bytes()).removeprefix(_SPARSE_MARK)
            patterns = tuple(lines.splitlines())
        return lambda path: matches(path, patterns)

    def _skipped(self) -> set[str]:
        """Return the tracked paths that the work tree does not show."""
        listing = self._git.out("ls-files", "-t", "-z").split("\0")
        return {line[2:] for line in listing if line.startswith("S ")}

    def _fold(self) -> Callable[[str], str]:
        ignores = self._git.out("config", "--bool", "core.ignorecase", expected=(0, 1))
        return str.casefold if ignores == "true" else str

    @property
    def is_ours(self) -> bool:
        """Whether we say which files the work tree shows, and not the user."""
        return self._sparse.exists() and self._sparse.read_bytes().startswith(_SPARSE_MARK.encode())

    def begin_patterns(self) -> None:
        """Have the work tree of a new workspace show what we say."""
        self._git.run("config", "core.sparseCheckout", "true")
        self._sparse.parent.mkdir(exist_ok=True)
        self._sparse.write_text(_SPARSE_MARK)

    def _write_patterns(self, patterns: Iterable[str] | None) -> None:
        if patterns is not None and self.is_ours:
            lines = (_SPARSE_MARK, *(f"{line}\n" for line in patterns))
            self._sparse.write_bytes(os.fsencode("".join(lines)))

    def _settle(self, move: Move) -> None:
        orders = f"update {PIN} {move.pin}\nupdate {APPLIED} {move.to}\n"
        self._git.run("update-ref", "--stdin", stdin=orders.encode())
        self._note.unlink()


def _listing(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
