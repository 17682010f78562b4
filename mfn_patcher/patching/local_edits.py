"""The user's edits: changes and commits on top of the patches, which no command may lose."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import worktree
from mfn_patcher.patching.git import DIFF_OPTIONS
from mfn_patcher.patching.layout import APPLIED, BRANCH, SAVED, WorkspaceError, unused_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfn_patcher.patching.layout import Layout

_IDENTITY = {
    f"GIT_{role}_{what}": "mfn-patch"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


class LocalEditsError(MfnPatchError):
    """The command would move away the user's edits or commits."""


@dataclass(frozen=True)
class Edits:
    """What the user changed on top of the patches.

    Attributes:
        files: paths of tracked files with uncommitted changes.
        commits: commits on top of the chain, as "id subject", newest first.
    """

    files: tuple[str, ...]
    commits: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.files or self.commits)


@dataclass(frozen=True)
class SavedEdits:
    """Edits that were saved.

    Attributes:
        patch: the patch file with them.
        tree: the tree of the work tree with them.
    """

    patch: Path
    tree: str


class LocalEdits:
    """Finds and saves the user's edits in a workspace.

    Args:
        layout: the files of the workspace.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._git = layout.repository

    def find(self) -> Edits:
        """Return the edits."""
        git = self._git
        if not (git.git_dir / "index").exists():  # cloned, and never checked out
            return Edits((), ())
        # What is in a submodule stays there, whatever moves; no patch can contain it.
        how = ("--untracked-files=no", "--no-renames", "--ignore-submodules=dirty")
        status = git.out("status", "--porcelain=v2", "-z", *how)
        # "1 XY sub mH mI mW hH hI path"; unmerged entries have two fields more.
        files = [
            entry.split(" ", 8 if entry[0] == "1" else 10)[-1]
            for entry in status.split("\0")
            if entry[:1] in ("1", "u")
        ]
        tips = ["HEAD", *(git.out("for-each-ref", "--format=%(refname)", BRANCH).split())]
        others = ("--not", f"--exclude={BRANCH}", "--glob=refs/")
        commits = git.out("log", "--format=%h %s", *tips, *others, "--")
        return Edits(tuple(files), tuple(filter(None, commits.split("\n"))))

    def protect(self, *, force: bool) -> SavedEdits | None:
        """Save the edits if `force` is set, and return where; None if there are no edits.

        Raises:
            LocalEditsError: there are edits, and `force` is not set.
        """
        git = self._git
        if git.resolve("HEAD") is None:
            return None
        edits = self.find()
        if not edits:
            return None
        if not force:
            rows = [f"  edited: {path}" for path in edits.files]
            rows += [f"  commit: {commit}" for commit in edits.commits]
            raise LocalEditsError(
                "\n".join([f"{self._layout.path} has changes of yours:", *rows]),
                remedy="`mfn-patch diff --local` shows them. Undo them, commit them to a branch of "
                "your own, or use --force to save them as a patch file first.",
            )
        base = git.resolve(APPLIED) if edits.commits else None
        return self.save(base or "HEAD")

    def save(self, base: str) -> SavedEdits:
        """Save the changes since `base` as a patch file, and everything else as refs."""
        layout = self._layout
        tree = self.tree()
        patch = unused_path(layout.saved, time.strftime("%Y%m%dT%H%M%S"), ".patch")
        worktree.make_parents(layout.path, f"saved/{patch.name}")
        with patch.open("xb") as file:
            file.write(self._git.run("diff", *DIFF_OPTIONS, base, tree, "--").stdout)
            file.flush()
            os.fsync(file.fileno())
        self.keep(patch.stem, [tree])
        return SavedEdits(patch, tree)

    def keep(self, name: str, trees: Sequence[str]) -> None:
        """Create refs to the user's commits and staged contents, so that git keeps them.

        Args:
            name: the name of the refs.
            trees: trees that are kept in another way.
        """
        git = self._git
        names = {"head": "HEAD", "branch": BRANCH} if self.find().commits else {}
        staged = git.run("write-tree", "--missing-ok", expected=(0, 128)).stdout.decode().strip()
        if staged and staged not in (*trees, git.out("rev-parse", "HEAD^{tree}")):
            message = ("-m", "Staged changes")
            names["index"] = git.out("commit-tree", staged, "-p", "HEAD", *message, env=_IDENTITY)
        for what, commit in names.items():
            if git.resolve(commit):
                git.run("update-ref", f"{SAVED}/{name}/{what}", commit)

    def require_index(self) -> None:
        """Raise WorkspaceError if git's index, which lists the tracked files, is missing."""
        index = self._git.git_dir / "index"
        if not index.exists():
            raise WorkspaceError(
                f"{index} is missing",
                remedy=f"Restore it with `git -C {self._layout.path} reset`, and run the command "
                "again.",
            )

    def tree(self) -> str:
        """Return the tree of the tracked files in the work tree, as they are now."""
        git = self._git
        self.require_index()
        with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            # git needs the index's time to detect edits in the second in which it was written.
            shutil.copy2(git.git_dir / "index", index["GIT_INDEX_FILE"])
            git.run("add", "--update", env=index)
            return git.out("write-tree", "--missing-ok", env=index)
