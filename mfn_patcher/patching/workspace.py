"""The workspace: a clone of upstream whose branch ``mfn-patch`` is the pin plus the patches.

Refs of ours, beside the branch: ``refs/mfn-patch/pin`` and ``refs/mfn-patch/applied`` are the
two ends of the chain that was switched to last (what the branch has beyond it is the user's),
``refs/mfn-patch/saved/*`` are commits of the user's that ``--force`` moved away from.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import draft, upstream, worktree
from mfn_patcher.patching.address import redact
from mfn_patcher.patching.chain import build_chain, read_chain
from mfn_patcher.patching.git import DIFF_OPTIONS, Repository
from mfn_patcher.patching.series import PatchFormatError, load_series
from mfn_patcher.patching.transaction import APPLIED, BRANCH, PIN, Move, Switch, fresh, write_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mfn_patcher.patching.chain import Link
    from mfn_patcher.patching.series import Patch, Series

REBASE = "rebase.json"  # among our notes: the state of a rebase that is under way
_SWITCH = "switch.json"  # likewise: a move of the work tree
_ADOPT = "adopt.json"  # likewise: a changed series, which the work tree is to follow
_SAVED = "refs/mfn-patch/saved"

_ROLES, _WHO = ("AUTHOR", "COMMITTER"), ("NAME", "EMAIL")

# Folders that the recipe and this tool fill below the workspace; git status need not list them.
_EXCLUDED = "/datasets/\n/models/\n/runs/\n/saved/\n"


class WorkspaceError(MfnPatchError):
    """The workspace is missing, or is not what the command needs."""


class LocalEditsError(MfnPatchError):
    """The workspace holds edits or commits of the user's that the command would move away."""


@dataclass(frozen=True)
class Edits:
    """What the user changed on top of the patches.

    Attributes:
        files: paths of tracked files with changes that are not committed.
        commits: commits on top of the chain, "id subject", newest first.
    """

    files: tuple[str, ...]
    commits: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.files or self.commits)


@dataclass(frozen=True)
class Outcome:
    """What `apply` or `revert` did.

    Attributes:
        changed: whether the workspace is another than before.
        commit: the tip of the chain; the pin where no patch is applied.
        links: the chain.
        saved: the patch file into which the user's edits were saved, if any had to be.
        restored: files of the chain that were missing from the work tree.
    """

    changed: bool
    commit: str
    links: tuple[Link, ...]
    saved: Path | None = None
    restored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """What a workspace holds, set against a series.

    Attributes:
        pin: the commit that the chain starts from, or None before the first ``apply``.
        address: where it was fetched from.
        commit: the tip of the chain.
        links: the chain.
        edits: what the user changed on top.
        rebasing: the commit that a rebase which is under way goes onto.
    """

    pin: str | None
    address: str
    commit: str | None
    links: tuple[Link, ...]
    edits: Edits
    rebasing: str | None = None


@dataclass(frozen=True)
class _Saved:
    """Where edits were saved: as a patch file, and as a tree."""

    patch: Path
    tree: str


class Workspace:
    """The clone at `path`; nothing is written outside it.

    Args:
        path: where it is, or will be.
        report: called with a line when something slow begins, or when something is done that was
            not asked for.
    """

    def __init__(self, path: Path, report: Callable[[str], None] = lambda _: None) -> None:
        self.path = path.resolve()
        self.repository = Repository(self.path)
        self.report = report
        self._own = self.repository.git_dir / "mfn-patch"
        self._saved = self.path / "saved"

    def recover(self) -> None:
        """Finish what a killed command left half done; all that read the workspace begin so."""
        if any((self._own / note).exists() for note in (_SWITCH, _ADOPT)):
            with self.locked(rebasing=True):
                pass

    def status(self) -> Status:
        """Return what the workspace holds.

        Raises:
            WorkspaceError: there is no workspace.
        """
        self.must_exist()
        self.recover()
        git = self.repository
        pin, applied = git.resolve(PIN), git.resolve(APPLIED)
        # Older versions kept passwords there.
        address = redact(git.out("config", f"remote.{upstream.REMOTE}.url", expected=(0, 1)))
        links = read_chain(git, pin, applied) if pin and applied else []
        edits = self.edits() if git.resolve("HEAD") else Edits((), ())
        return Status(pin, address, applied, tuple(links), edits, self.rebasing())

    def chain_commit(self) -> str | None:
        """Return the tip of the chain: the commit that says which code is trained.

        Raises:
            WorkspaceError: a rebase is under way, so no commit says it.
        """
        if not self.repository.git_dir.is_dir():
            return None
        self.recover()
        self._must_not_rebase()
        return self.repository.resolve(APPLIED)

    def diff(
        self,
        *,
        patch: str | None = None,
        local: bool = False,
        stat: bool = False,
    ) -> bytes:
        """Return a unified diff: of all patches, of one, or of what the user changed on top.

        Args:
            patch: the name of an applied patch, as in the series.
            local: the user's edits and commits instead.
            stat: only count the changed lines of each file.

        Raises:
            WorkspaceError: no patches are applied, or not this one.
        """
        status = self.status()
        if status.pin is None or status.commit is None:
            raise WorkspaceError(
                f"nothing was applied in {self.path} yet", remedy="Run `mfn-patch apply`."
            )
        revisions = [status.pin, status.commit]
        if local:
            revisions = [status.commit]
        elif patch is not None:
            link = next((link for link in status.links if link.patch == patch), None)
            if link is None:
                raise WorkspaceError(
                    f"{patch} is not applied in {self.path}", remedy="Run `mfn-patch apply`."
                )
            revisions = [f"{link.commit}^", link.commit]
        form = ("--no-color", "--no-ext-diff", "--no-renames", "--stat") if stat else DIFF_OPTIONS
        return self.repository.run("diff", *form, *revisions, "--").stdout

    def apply(
        self,
        series: Series,
        patches: Sequence[Patch],
        address: str,
        *,
        force: bool = False,
        dry_run: bool = False,
    ) -> Outcome:
        """Bring the workspace to the pin plus `patches`, fetching the pin where it is missing.

        The chain is built aside; the work tree moves once, when the last patch has applied.

        Args:
            series: the project's series, of which `patches` is a selection.
            patches: what to apply, in order; none is the bare pin.
            address: where upstream is.
            force: save the user's edits into a patch file, and go on.
            dry_run: build the chain, but leave the workspace as it is.

        Raises:
            MfnPatchError: the workspace stays byte for byte what it was.
        """
        if dry_run and not self.repository.git_dir.exists():
            self._must_be_free()
            with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
                aside = Workspace(Path(folder, "workspace"), self.report)
                aside.repository.git_dir.mkdir(parents=True)
                return aside.apply(series, patches, address, dry_run=True)
        self._must_be_free()
        with self.locked() as held:
            unchanged = self.applied(series, patches)
            if unchanged and not (force and self.edits()):
                return unchanged if dry_run else replace(unchanged, restored=self._restore())
            self._bring_pin(series, address)
            links = tuple(build_chain(self.repository, series, patches))
            tip = links[-1].commit if links else series.pin
            if dry_run:
                return Outcome(True, tip, links)
            saved = self._protect_edits(force=force)
            known = (saved.tree,) if saved else ()
            held.switch.to(Move(series.pin, tip, known=known, patterns=patterns(series)))
            return Outcome(True, tip, links, saved.patch if saved else None)

    def revert(self, *, force: bool = False) -> Outcome:
        """Bring the workspace back to the pin.

        Raises:
            WorkspaceError: there is no workspace.
            LocalEditsError: the user's edits are in the way.
        """
        self.must_exist()
        with self.locked() as held:
            pin = self.repository.resolve(PIN)
            if pin is None:
                raise WorkspaceError(f"nothing was applied in {self.path} yet")
            changed = pin != self.repository.resolve(APPLIED)
            saved = self._protect_edits(force=force)
            held.switch.to(Move(pin, pin, known=(saved.tree,) if saved else ()))
            return Outcome(changed or saved is not None, pin, (), saved.patch if saved else None)

    def must_exist(self) -> None:
        """Raise WorkspaceError unless there is a workspace."""
        if not self.repository.git_dir.is_dir():
            raise WorkspaceError(
                f"there is no workspace at {self.path}",
                remedy="Run `mfn-patch apply`, or name another with --workspace.",
            )
        if self.repository.run("rev-parse", "--git-dir", expected=(0, 128)).status:
            raise WorkspaceError(
                f"{self.repository.git_dir} is not a complete git repository",
                remedy="Run `mfn-patch apply`: it completes it, and overwrites no file of yours.",
            )

    def rebasing(self) -> str | None:
        """Return what a rebase that is under way goes onto."""
        state = self._own / REBASE
        return json.loads(state.read_text())["onto"] if state.exists() else None

    def _must_not_rebase(self) -> None:
        onto = self.rebasing()
        if onto:
            raise WorkspaceError(
                f"a rebase onto {onto[:12]} is under way in {self.path}",
                remedy="End it with `mfn-patch rebase --continue` or `mfn-patch rebase --abort`.",
            )

    def _must_be_free(self) -> None:
        """Refuse a place that is neither a clone nor free to become one."""
        git_dir = self.repository.git_dir
        if git_dir.is_file() or git_dir.is_symlink():
            raise WorkspaceError(
                f"{git_dir} leads to another folder: a linked work tree, or a link",
                remedy="Name a clone with a .git folder of its own with --workspace.",
            )
        if self.repository.git_dir.is_dir() or not self.path.exists():
            return
        if not self.path.is_dir() or any(self.path.iterdir()):
            raise WorkspaceError(
                f"{self.path} is neither a clone of upstream nor an empty folder",
                remedy="Name another place with --workspace.",
            )

    @contextlib.contextmanager
    def locked(self, *, rebasing: bool = False) -> Iterator[Held]:
        """Hold the workspace for ourselves, and finish what a killed command left undone.

        The lock lives as long as any git process that was started under it: a command that
        follows a killed one waits for what that one still has running.

        Args:
            rebasing: the caller continues or ends a rebase, or only looks.

        Raises:
            WorkspaceError: a rebase is under way, and the caller is something else.
        """
        self._own.mkdir(parents=True, exist_ok=True)
        with (self._own / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.report(f"another mfn-patch is at work in {self.path}; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            self.repository.inherited_fd = lock.fileno()
            lock.seek(0)
            killed = bool(lock.read())
            lock.write("at work\n")
            lock.flush()
            try:
                held = Held(self, Switch(self.repository, self._own / _SWITCH), self._own)
                if killed or held.begun:
                    self._remove_stale_locks()
                held.finish()
                if not rebasing:
                    self._must_not_rebase()
                yield held
            finally:
                lock.truncate(0)
                self.repository.inherited_fd = None

    def _remove_stale_locks(self) -> None:
        """Remove git's own locks: the git processes that made them have ended."""
        for lock in self.repository.git_dir.rglob("*.lock"):
            lock.unlink(missing_ok=True)

    def _restore(self) -> tuple[str, ...]:
        """Bring back tracked files that are missing from the work tree; return which.

        A file whose removal was staged stays away: somebody meant it.
        """
        git = self.repository
        deleted = git.out("diff-files", "--name-only", "-z", "--diff-filter=D").split("\0")
        missing = [
            path
            for path in filter(None, deleted)
            if not os.path.lexists(self.path / path) and not worktree.obstacle(self.path, path)
        ]
        if missing:
            listing = b"".join(os.fsencode(path) + b"\0" for path in missing)
            git.run("checkout-index", "--quiet", "-u", "-z", "--stdin", stdin=listing)
        return tuple(missing)

    def applied(self, series: Series, patches: Sequence[Patch]) -> Outcome | None:
        """Return the chain where it is `patches` on the pin of `series`, else None."""
        git = self.repository
        if not (git.git_dir / "HEAD").exists() or git.resolve(PIN) != series.pin:
            return None
        applied = git.resolve(APPLIED)
        if applied is None or git.out("symbolic-ref", "-q", "HEAD", expected=(0, 1)) != BRANCH:
            return None
        if git.run("merge-base", "--is-ancestor", applied, "HEAD", expected=(0, 1)).status:
            return None
        links = read_chain(git, series.pin, applied)
        if [(link.patch, link.digest) for link in links] != [(p.name, p.digest) for p in patches]:
            return None
        return Outcome(False, applied, tuple(links))

    def _bring_pin(self, series: Series, address: str) -> None:
        git = self.repository
        if git.resolve("HEAD") is None:  # never switched to anything yet
            # A kill may have left half of a repository, and git's locks on it.
            self._remove_stale_locks()
            git.init()
            if git.resolve("HEAD") is None and git.out("ls-files", "--cached"):
                raise WorkspaceError(
                    f"{self.path} is a git repository with staged files and no commit",
                    remedy="Name an empty folder, or a clone of upstream, with --workspace.",
                )
            git.run("config", "core.autocrlf", "false")
            Switch(git, self._own / _SWITCH).begin_patterns()
            excluded = git.git_dir / "info" / "exclude"
            if not excluded.exists():
                excluded.write_text(_EXCLUDED)
        elif git.resolve(PIN) == series.pin:
            return
        elif git.resolve(PIN) is None:  # a clone of the user's own
            if git.resolve(series.pin) is None:
                raise WorkspaceError(
                    f"{self.path} is a git repository, but does not hold the pinned commit "
                    f"{series.pin}",
                    remedy="Name an empty folder, or a clone of upstream, with --workspace.",
                )
            self.bring_files(series.pin, address, patterns(series))
            return
        self.report(f"fetching {series.pin[:12]} from {address}")
        upstream.fetch_pin(git, address, series.pin, patterns(series))

    def bring_files(self, commit: str, address: str, needed: tuple[str, ...]) -> None:
        """Fetch what a switch to `commit` reads and a partial clone of the user's lacks.

        Args:
            commit: what it is to be switched to; its trees are there.
            address: where upstream is.
            needed: sparse checkout patterns of what the patches need.
        """
        git = self.repository
        head = git.entries("HEAD") if git.resolve("HEAD") else {}
        everything = not Switch(git, self._own / _SWITCH).is_ours
        wanted = {
            entry[1]
            for path, entry in git.entries(commit).items()
            if entry[0] != worktree.SUBMODULE
            and (upstream.matches(path, needed) or (everything and head.get(path) != entry))
        }
        upstream.fetch_missing(git, address, wanted)

    def edits(self) -> Edits:
        """Return what the user changed on top of the patches."""
        git = self.repository
        if not (git.git_dir / "index").exists():  # cloned, and never checked out
            return Edits((), ())
        status = git.out("status", "--porcelain=v2", "-z", "--untracked-files=no", "--no-renames")
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

    def _protect_edits(self, *, force: bool) -> _Saved | None:
        """Refuse to go on over the user's edits; with `force`, save them and return where."""
        git = self.repository
        if git.resolve("HEAD") is None:
            return None
        edits = self.edits()
        if not edits:
            return None
        if not force:
            rows = [f"  edited: {path}" for path in edits.files]
            rows += [f"  commit: {commit}" for commit in edits.commits]
            raise LocalEditsError(
                "\n".join([f"{self.path} has changes of yours:", *rows]),
                remedy="See them with `mfn-patch diff --local`. Undo them, commit them to a branch "
                "of your own, or give --force, which first saves them as a patch file.",
            )
        base = git.resolve(APPLIED) if edits.commits else None
        return self.save(base or "HEAD")

    def save(self, base: str) -> _Saved:
        """Save what the work tree has on top of `base` as a patch file, and all else as refs."""
        git = self.repository
        tree = self.tree()
        patch = fresh(self._saved, time.strftime("%Y%m%dT%H%M%S"), ".patch")
        worktree.make_parents(self.path, f"saved/{patch.name}")
        with patch.open("xb") as file:
            file.write(git.run("diff", *DIFF_OPTIONS, base, tree, "--").stdout)
            file.flush()
            os.fsync(file.fileno())
        self.keep(patch.stem, [tree])
        return _Saved(patch, tree)

    def keep(self, name: str, trees: Sequence[str]) -> None:
        """Give names to the user's commits and to staged contents, so that git keeps them.

        Args:
            name: what they are saved under.
            trees: what is kept otherwise.
        """
        git = self.repository
        names = {"head": "HEAD", "branch": BRANCH} if self.edits().commits else {}
        staged = git.run("write-tree", "--missing-ok", expected=(0, 128)).stdout.decode().strip()
        if staged and staged not in (*trees, git.out("rev-parse", "HEAD^{tree}")):
            env = {f"GIT_{role}_{what}": "mfn-patch" for role in _ROLES for what in _WHO}
            message = ("-m", "What was staged")
            names["index"] = git.out("commit-tree", staged, "-p", "HEAD", *message, env=env)
        for what, commit in names.items():
            if git.resolve(commit):
                git.run("update-ref", f"{_SAVED}/{name}/{what}", commit)

    def tree(self) -> str:
        """Return the tree of what the work tree holds; new files count once git knows them."""
        git = self.repository
        with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            # With its time: by it git tells which files were edited in the second it was written.
            shutil.copy2(git.git_dir / "index", index["GIT_INDEX_FILE"])
            git.run("add", "--update", env=index)
            return git.out("write-tree", "--missing-ok", env=index)


class Held:
    """The workspace while a command has it for itself.

    Args:
        workspace: whose lock is held.
        switch: moves its work tree.
        own: the folder for our notes.
    """

    def __init__(self, workspace: Workspace, switch: Switch, own: Path) -> None:
        self.switch = switch
        self.own = own
        self._workspace = workspace
        self._git = workspace.repository
        self._note = own / _ADOPT

    def applied(self, series: Series) -> tuple[Link, ...]:
        """Return the chain of the whole series.

        Raises:
            WorkspaceError: something else is applied, so edits cannot be told.
        """
        applied = self._workspace.applied(series, series.patches)
        if applied is None:
            raise WorkspaceError(
                f"{self._workspace.path} does not have the series applied, so edits cannot be told",
                remedy="Run `mfn-patch apply` first.",
            )
        return applied.links

    def edits(self) -> Edits:
        """Return what the user changed on top of the patches."""
        return self._workspace.edits()

    @property
    def begun(self) -> bool:
        """Whether a killed command has left something to do."""
        return self.switch.begun or self._note.exists()

    def rescue(self, move: Move) -> None:
        """Move aside what `move` would overwrite, and say so."""
        self._say_saved(self.switch.rescue(move, self._workspace.path / "saved"))

    def finish(self) -> None:
        """Do what a killed command has left to do, and say so."""
        begun = self.begun
        if self.switch.begun:
            self._say_saved(self.switch.finish(self._workspace.path / "saved"))
        if self._note.exists():
            self._finish_adoption()
        if begun:
            self._workspace.report(
                f"finished what an interrupted command had begun in {self._workspace.path}"
            )

    def adopt(
        self,
        series: Series,
        changed: Mapping[str, bytes],
        names: Mapping[str, str],
        known: tuple[str, ...],
    ) -> None:
        """Put a changed series in the place of `series`, and move the workspace to it.

        All is written aside and tried first. From then on it is done even if we are killed: the
        next command that reads the project or the workspace does the rest.

        Args:
            series: the project's.
            changed: as `draft.drafted` takes it.
            names: likewise.
            known: trees that the work tree may hold, which the changed series has taken up.

        Raises:
            DraftError: the changed series is not valid; nothing was changed.
            InTheWayError: the workspace can't be moved to it; nothing was changed.
        """
        with draft.drafted(series, changed, names=names) as drafted:
            links = build_chain(self._git, drafted.series, drafted.series.patches)
            tip = links[-1].commit if links else drafted.series.pin
            shown = patterns(drafted.series)
            move = Move(drafted.series.pin, tip, known=known, patterns=shown)
            self.switch.refuse_loss(move)
            write_note(self._note, {"root": str(drafted.root), "move": asdict(move)})
            drafted.install()
        self._finish_adoption()

    def _finish_adoption(self) -> None:
        """Have the work tree follow a changed series, if that has taken its place."""
        note = json.loads(self._note.read_text())
        move = Move.from_json(note["move"])
        if self._is_there(Path(note["root"]), move):
            self._workspace.keep(time.strftime("%Y%m%dT%H%M%S"), move.known)
            self.rescue(move)
            self.switch.to(move)
            (self.own / REBASE).unlink(missing_ok=True)
        self._note.unlink()

    def _is_there(self, root: Path, move: Move) -> bool:
        """Return whether the project at `root` has the series that `move` leads to."""
        try:
            draft.recover(root)
            series = load_series(root)
        except (OSError, PatchFormatError):
            return False
        links = read_chain(self._git, move.pin, move.to)
        names = [(patch.name, patch.digest) for patch in series.patches]
        return series.pin == move.pin and [(link.patch, link.digest) for link in links] == names

    def _say_saved(self, folder: Path | None) -> None:
        if folder:
            self._workspace.report(f"files that were in the way were moved to {folder}")


def patterns(series: Series) -> tuple[str, ...]:
    """Return the sparse checkout patterns of what training and the patches of `series` need."""
    patched = {upstream.pattern(path) for patch in series.patches for path in patch.paths}
    return (*upstream.PATHS, *sorted(patched))


def compare(series: Series, links: Sequence[Link]) -> list[tuple[str, str, str | None]]:
    """Set a chain against a series; return name, state and commit of each patch.

    The state is ``applied``, ``missing``, ``changed`` (the patch file is another than the one
    applied) or ``unknown`` (applied, but no longer in the series).
    """
    applied = {link.patch: link for link in links}
    rows: list[tuple[str, str, str | None]] = []
    for patch in series.patches:
        link = applied.pop(patch.name, None)
        if link is None:
            rows.append((patch.name, "missing", None))
        else:
            state = "applied" if link.digest == patch.digest else "changed"
            rows.append((patch.name, state, link.commit))
    return rows + [(link.patch, "unknown", link.commit) for link in applied.values()]
