"""The workspace: a clone of upstream whose branch ``mfn-patch`` is the pin plus the patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfn_patcher.patching import upstream
from mfn_patcher.patching.address import redact
from mfn_patcher.patching.chain import read_chain
from mfn_patcher.patching.git import DIFF_OPTIONS
from mfn_patcher.patching.layout import APPLIED, BRANCH, PIN, Layout, WorkspaceError
from mfn_patcher.patching.local_edits import Edits, LocalEdits
from mfn_patcher.patching.locked import recover

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mfn_patcher.patching.chain import Link
    from mfn_patcher.patching.patchfile import Patch
    from mfn_patcher.patching.series import Series


@dataclass(frozen=True)
class Status:
    """The contents of a workspace.

    Attributes:
        pin: the commit that the chain starts from; None before the first ``apply``.
        address: the address that it was fetched from.
        commit: the tip of the chain.
        links: the chain.
        edits: what the user changed on top of it.
        rebasing: the commit that a rebase in progress moves to.
    """

    pin: str | None
    address: str
    commit: str | None
    links: tuple[Link, ...]
    edits: Edits
    rebasing: str | None = None


class Workspace:
    """A workspace as its readers see it; `mfn_patcher.patching.applying` changes it.

    Args:
        path: the folder, which need not exist.

    Attributes:
        layout: the files of the workspace.
        edits: the user's edits.
    """

    def __init__(self, path: Path) -> None:
        self.layout = Layout(path)
        self.path = self.layout.path
        self.repository = self.layout.repository
        self.edits = LocalEdits(self.layout)

    def check_exists(self) -> None:
        """Raise WorkspaceError if there is no workspace."""
        if not self.repository.git_dir.is_dir():
            raise WorkspaceError(
                f"there is no workspace at {self.path}",
                remedy="Run `mfn-patch apply`, or use --workspace to name another folder.",
            )
        if self.repository.run("rev-parse", "--git-dir", expected=(0, 128)).status:
            raise WorkspaceError(
                f"{self.repository.git_dir} is not a complete git repository",
                remedy="Run `mfn-patch apply` to complete it; your files stay as they are.",
            )

    def status(self) -> Status:
        """Return what the workspace contains.

        Raises:
            WorkspaceError: there is no workspace.
        """
        self.check_exists()
        recover(self.layout)
        git = self.repository
        pin, applied = git.resolve(PIN), git.resolve(APPLIED)
        # Older versions stored passwords there.
        address = redact(git.out("config", f"remote.{upstream.REMOTE}.url", expected=(0, 1)))
        links = read_chain(git, pin, applied) if pin and applied else []
        edits = self.edits.find() if git.resolve("HEAD") else Edits((), ())
        return Status(pin, address, applied, tuple(links), edits, self.layout.rebase_target())

    def chain_commit(self) -> str | None:
        """Return the tip of the chain, which identifies the code that is trained.

        Raises:
            WorkspaceError: a rebase is in progress, so no commit identifies it.
        """
        if not self.repository.git_dir.is_dir():
            return None
        recover(self.layout)
        self.layout.refuse_rebase()
        return self.repository.resolve(APPLIED)

    def diff(
        self,
        *,
        patch: str | None = None,
        local: bool = False,
        stat: bool = False,
    ) -> bytes:
        """Return the unified diff of all patches, of one patch, or of the user's edits.

        Args:
            patch: the name of an applied patch.
            local: return the diff of the user's edits and commits instead.
            stat: return only the number of changed lines per file.

        Raises:
            WorkspaceError: nothing is applied, or not this patch; or git's index is missing.
        """
        status = self.status()
        if status.pin is None or status.commit is None:
            raise WorkspaceError(
                f"nothing has been applied in {self.path}", remedy="Run `mfn-patch apply`."
            )
        revisions = [status.pin, status.commit]
        if local:
            self.edits.require_index()  # without it, git would show all files as removed
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

    def applied(self, series: Series, patches: Sequence[Patch]) -> tuple[Link, ...] | None:
        """Return the chain if it consists of `patches` on the pin of `series`, else None."""
        git = self.repository
        if not (git.git_dir / "HEAD").exists() or git.resolve(PIN) != series.pin:
            return None
        applied = git.resolve(APPLIED)
        if applied is None or git.resolve("HEAD") is None:
            return None
        if git.out("symbolic-ref", "-q", "HEAD", expected=(0, 1)) != BRANCH:
            return None
        if git.run("merge-base", "--is-ancestor", applied, "HEAD", expected=(0, 1)).status:
            return None
        links = read_chain(git, series.pin, applied)
        if [(link.patch, link.digest) for link in links] != [(p.name, p.digest) for p in patches]:
            return None
        return tuple(links)

    def require_applied(self, series: Series) -> tuple[Link, ...]:
        """Return the chain of the whole series.

        Raises:
            WorkspaceError: something else is applied, so edits cannot be told from patches.
        """
        links = self.applied(series, series.patches)
        if links is None:
            raise WorkspaceError(
                f"{self.path} does not have the whole series applied",
                remedy="Run `mfn-patch apply` first.",
            )
        return links


def compare(series: Series, links: Sequence[Link]) -> list[tuple[str, str, str | None]]:
    """Compare a chain with a series; return name, state and commit of each patch.

    The state is ``applied``, ``missing``, ``changed`` (the patch file has changed since it was
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
