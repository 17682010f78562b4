"""Moving the work tree from one commit to another, so that a kill at any moment is mended.

git replaces files one by one. Before it starts, the move is written down; a command that finds
such a note finishes the move before it does anything else.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patches import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mfn_patcher.git import Repository

BRANCH = "refs/heads/mfn-patch"
PIN = "refs/mfn-patch/pin"
APPLIED = "refs/mfn-patch/applied"


def write_note(path: Path, note: Mapping[str, Any]) -> None:
    """Write a note for the command that follows a killed one; it is there whole or not at all."""
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(note, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


class Switch:
    """Moves the branch, the index and the work tree of `repository` together.

    Args:
        repository: the workspace's.
        note: the file that says which move is under way.
        saved: the folder for files that `finish` finds changed by someone else.
    """

    def __init__(self, repository: Repository, note: Path, saved: Path) -> None:
        self._git = repository
        self._note = note
        self._saved = saved

    def to(self, pin: str, tip: str, *, discard_edits: bool) -> None:
        """Check out `tip`, the end of a chain on `pin`, as our branch.

        Raises:
            MfnPatchError: untracked files stand where `tip` has files; nothing was changed.
        """
        head = self._git.resolve("HEAD")
        if head:
            added = self._git.out("diff", "--name-only", "-z", "--diff-filter=A", head, tip)
            tracked = self._git.out("ls-files", "-z").split("\0")
            wanted = set(filter(None, added.split("\0"))) - set(tracked)
            blocking = sorted(path for path in wanted if (self._git.work_tree / path).exists())
            if blocking:
                raise MfnPatchError(
                    f"untracked files are in the way of the patches: {', '.join(blocking)}",
                    remedy="Move them away and try again.",
                )
        write_note(self._note, {"from": head, "to": tip, "pin": pin})
        self._checkout(tip, "--force" if discard_edits else "--no-force")
        self._settle(pin, tip)

    def finish(self) -> None:
        """Finish a move that was cut short, if there is one.

        Files of the move that hold neither the old nor the new content were touched by someone
        since, or were cut off in the middle: they are copied into the folder of saved files.
        """
        if not self._note.exists():
            return
        move = json.loads(self._note.read_text())
        git = self._git
        # The git that made them has ended, or we would not hold the workspace's lock.
        for lock in ("index.lock", "HEAD.lock", f"{BRANCH}.lock"):
            (git.git_dir / lock).unlink(missing_ok=True)
        if move["from"] is None:
            self._checkout(move["to"], "--force")
        else:
            paths = self._save_strangers(move["from"], move["to"])
            git.run("update-ref", BRANCH, move["to"])
            git.run("symbolic-ref", "HEAD", BRANCH)
            git.run("reset", "--quiet")
            listed = git.run("ls-files", "-z", "--", *paths).stdout if paths else b""
            git.run("checkout-index", "--force", "--quiet", "-z", "--stdin", stdin=listed)
            gone = set(paths) - set(listed.decode(errors="surrogateescape").split("\0"))
            for path in gone:
                (git.work_tree / path).unlink(missing_ok=True)
        self._settle(move["pin"], move["to"])

    def _checkout(self, tip: str, force: str) -> None:
        self._git.run(
            *("checkout", "--quiet", "--no-track", force, "-B", BRANCH.rpartition("/")[2], tip),
            uninterruptible=True,
        )

    def _settle(self, pin: str, tip: str) -> None:
        orders = f"update {PIN} {pin}\nupdate {APPLIED} {tip}\n"
        self._git.run("update-ref", "--stdin", stdin=orders.encode())
        self._note.unlink()

    def _save_strangers(self, old: str, new: str) -> list[str]:
        """Copy files with a content of neither side away; return all paths that differ."""
        raw = self._git.out("diff", "--raw", "-z", "--no-abbrev", old, new).split("\0")
        paths = raw[1::2]
        folder = self._saved / time.strftime("%Y%m%dT%H%M%S")
        for information, path in zip(raw[::2], paths):
            file = self._git.work_tree / path
            known = set(information.split()[2:4])
            blob = ABSENT
            if file.exists():
                blob = self._git.out("hash-object", "--no-filters", "--", path)
            if blob not in known and blob != ABSENT:
                copy = folder / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
        return paths
