"""Turning edits in a workspace into patches: ``new`` and ``refresh``."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.git import DIFF_OPTIONS, temporary_repository
from mfn_patcher.patching.locked import lock
from mfn_patcher.patching.merge import Conflict, merge
from mfn_patcher.patching.patchfile import read_text
from mfn_patcher.patching.project import SERIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfn_patcher.patching.chain import Link
    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.patchfile import Header, Patch
    from mfn_patcher.patching.series import Series
    from mfn_patcher.patching.workspace import Workspace

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_STACK = re.compile(r"[a-z][a-z0-9]*")
_SUBJECT_LENGTH = 72


class EditError(MfnPatchError):
    """The edits do not fit into the patch; nothing was changed."""


def refresh(workspace: Workspace, series: Series, patch: Patch) -> list[str]:
    """Add the user's edits and commits to `patch`, and update later patches.

    Args:
        workspace: the workspace, with the whole series applied.
        series: the project's series.
        patch: a patch of the series.

    Returns:
        The names of the patch files that changed; empty if there are no edits.

    Raises:
        WorkspaceError: the workspace does not have the whole series applied.
        EditError: the edits do not fit into `patch`; nothing was changed.
    """
    with lock(workspace.layout) as locked:
        links = workspace.require_applied(series)
        if not locked.edits.find():
            return []
        number = series.patches.index(patch)
        edited = locked.edits.tree()
        later = _LaterPatches(workspace.repository, series, links, number + 1, edited)
        diff = later.insert(patch.name, at=links[number].commit, before=later.parent(number))
        changed = {patch.name: head(patch) + diff, **later.update()}
        locked.adopt(series, _below_patches(changed), known=(edited,))
        return list(changed)


def new(workspace: Workspace, series: Series, slug: str, stack: str, header: Header) -> str:
    """Make a patch of the user's edits, as the last of its stack, and update later patches.

    Args:
        workspace: the workspace, with the whole series applied.
        series: the project's series.
        slug: what the patch does, in lower case letters, digits and hyphens.
        stack: an existing stack, or a new one, which becomes the last of the series.
        header: the header.

    Returns:
        The name of the new patch.

    Raises:
        WorkspaceError: the workspace does not have the whole series applied.
        EditError: there are no edits, they do not fit there, or a name or the subject is not
            valid; nothing was changed.
        DraftError: the header lacks a paragraph that the project asks for; nothing was changed.
    """
    _check_name("name", slug, _SLUG, "lower case letters, digits and hyphens")
    check_stack(stack)
    if not 0 < len(header.subject) <= _SUBJECT_LENGTH or header.subject.endswith("."):
        raise EditError(
            f"{header.subject!r} is not valid as the subject of a patch",
            remedy=f"Use at most {_SUBJECT_LENGTH} characters, without a full stop at the end.",
        )
    with lock(workspace.layout) as locked:
        links = workspace.require_applied(series)
        if not locked.edits.find():
            raise EditError(
                "there are no edits on top of the patches",
                remedy=f"Edit files in {workspace.path}, then run this again.",
            )
        of_stack = [n for n, patch in enumerate(series.patches) if patch.stack == stack]
        number = of_stack[-1] + 1 if of_stack else len(series.patches)
        name = f"{stack}/{len(of_stack) + 1:04d}-{slug}.patch"
        edited = locked.edits.tree()
        later = _LaterPatches(workspace.repository, series, links, number, edited)
        parent = later.parent(number)
        diff = later.insert(name, at=parent, before=parent)
        files = _below_patches({name: header.as_mail() + diff, **later.update()})
        files[SERIES] = _listing_with(series, name, number)
        locked.adopt(series, files, known=(edited,))
        return name


def check_stack(name: str) -> None:
    """Raise EditError if `name` cannot be the name of a stack."""
    _check_name("stack", name, _STACK, "lower case letters and digits")


def _check_name(what: str, text: str, pattern: re.Pattern[str], allowed: str) -> None:
    if not pattern.fullmatch(text):
        raise EditError(f"{text!r} is not valid as the {what} of a patch", remedy=f"Use {allowed}.")


def _listing_with(series: Series, name: str, number: int) -> bytes:
    """Return ``patches/series`` with a new patch, which becomes number `number`, from 0."""
    lines = [line.rstrip("\n") for line in io.StringIO(read_text(series.root / SERIES))]
    stripped = [line.strip() for line in lines]
    place = stripped.index(series.patches[number - 1].name) + 1 if number else len(lines)
    lines.insert(place, name)
    return "".join(f"{line}\n" for line in lines).encode()


def head(patch: Patch) -> bytes:
    """Return the part of a patch file before the diff."""
    return patch.data[: -len(patch.diff)]


def describe_conflict(conflict: Conflict, theirs: str) -> str:
    """Return a line that says why the change named `theirs` conflicts in a file."""
    if conflict.blocked_by:
        return f"{conflict.path}: {theirs} adds it, but {conflict.blocked_by} is in the way"
    if not conflict.ours:
        return f"{conflict.path}: {theirs} changes it, but it no longer exists"
    if not conflict.theirs:
        return f"{conflict.path}: {theirs} removes it, but it has changed"
    if conflict.content is None:
        kinds = {"120000": "a link", "160000": "a submodule"}
        kind = kinds.get(conflict.ours.mode, "a binary file")
        return f"{conflict.path}: {theirs} changes lines of it, but it is now {kind}"
    return f"{conflict.path}: overlapping changes"


class _LaterPatches:
    """The patches after the edits, which are updated to apply to the edited tree.

    Args:
        repository: the repository of the workspace.
        series: the series, which is applied.
        links: the chain.
        number: the number of the first patch after the edits, from 0.
        edited: the tree with the edits.
    """

    def __init__(
        self,
        repository: Repository,
        series: Series,
        links: Sequence[Link],
        number: int,
        edited: str,
    ) -> None:
        self._git = repository
        self._series = series
        self._links = links
        self._number = number
        self._tip = self.parent(len(links))
        self._edited = edited
        self._tree = ""
        self._place = ""

    def parent(self, number: int) -> str:
        """Return the commit that patch `number`, from 0, was applied to."""
        return self._links[number - 1].commit if number else self._series.pin

    def insert(self, name: str, *, at: str, before: str) -> bytes:
        """Merge the edits into the tree `at`, and return the diff from `before`."""
        merged = merge(
            self._git, base=self._tip, ours=at, theirs=self._edited, labels=(name, "your edits")
        )
        if merged.conflicts:
            raise EditError(
                "\n".join(
                    [
                        f"the edits change lines that a patch after {name} adds:",
                        *(f"  {describe_conflict(c, 'the edit')}" for c in merged.conflicts),
                    ]
                ),
                remedy="Add them to that patch, or to the last one.",
            )
        self._tree, self._place = merged.tree, name
        return self._diff(before, name)

    def update(self) -> dict[str, bytes]:
        """Merge the patches on top of the edits; return those that change edited files."""
        edited = self._git.out("diff", "--name-only", "-z", "--no-renames", self._tip, self._edited)
        changed = {}
        for number in range(self._number, len(self._links)):
            patch = self._series.patches[number]
            merged = merge(
                self._git,
                base=self.parent(number),
                ours=self._tree,
                theirs=self._links[number].commit,
                labels=(self._place, patch.name),
                patch=patch,
            )
            if merged.conflicts:
                reasons = [f"  {describe_conflict(c, patch.name)}" for c in merged.conflicts]
                title = f"{patch.name} does not apply on top of the edits in {self._place}:"
                raise EditError(
                    "\n".join([title, *reasons]),
                    remedy=f"Add them to {patch.name} or a later patch.",
                )
            before, self._tree = self._tree, merged.tree
            if set(edited.split("\0")) & set(patch.paths):
                changed[patch.name] = head(patch) + self._diff(before, patch.name)
        if self._tree != self._edited:
            raise EditError(
                f"with the edits in {self._place}, the patches would not give the edited files",
                remedy="Add them to a later patch.",
            )
        return changed

    def _diff(self, before: str, name: str) -> bytes:
        diff = diff_of_patch(self._git, before, self._tree)
        if not diff:
            raise EditError(
                f"the edits undo all changes of {name}",
                remedy="Remove it from patches/series instead.",
            )
        return diff


def diff_of_patch(repository: Repository, before: str, after: str) -> bytes:
    """Return the diff between two trees, in the format of patch files.

    It is made in a repository without attributes, so that it does not depend on those of a clone
    of the user's own, which may name text files binary.
    """
    objects = {"GIT_OBJECT_DIRECTORY": str(repository.git_dir / "objects")}
    with temporary_repository() as aside:
        return aside.run("diff", *DIFF_OPTIONS, before, after, env=objects).stdout


def _below_patches(changed: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"patches/{name}": data for name, data in changed.items()}
