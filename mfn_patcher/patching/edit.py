"""Writing patches anew: from edits in a workspace, with the patches above carried over."""

from __future__ import annotations

import email.utils
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.git import DIFF_OPTIONS
from mfn_patcher.patching.merge import Conflict, merge
from mfn_patcher.patching.series import PARAGRAPHS

if TYPE_CHECKING:
    from datetime import datetime

    from mfn_patcher.patching.chain import Link
    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.series import Patch, Series
    from mfn_patcher.patching.workspace import Workspace

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_STACK = re.compile(r"[a-z][a-z0-9]*")


class MendError(MfnPatchError):
    """The edits cannot become part of the patch; nothing was changed."""


@dataclass(frozen=True)
class Heading:
    """What a new patch says of itself; `paragraphs` has a text for each of `PARAGRAPHS`."""

    author: str
    date: datetime
    subject: str
    paragraphs: Mapping[str, str]

    def as_mail(self) -> bytes:
        """Return the header of a patch file, to the line before its diff."""
        lines = [
            f"From: {self.author}",
            f"Date: {email.utils.format_datetime(self.date)}",
            f"Subject: {self.subject}",
            "",
        ]
        for name in PARAGRAPHS:
            text = f"{name}: {self.paragraphs[name]}"
            lines += textwrap.wrap(
                text, 72, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False
            )
        return "\n".join([*lines, "---", ""]).encode()


def refresh(workspace: Workspace, series: Series, patch: Patch) -> list[str]:
    """Put the user's edits and commits into `patch`, and carry the patches above it over.

    Args:
        workspace: all of the series must be applied in it.
        series: the project's.
        patch: one of it.

    Returns:
        The names of the patch files that are others now; none without edits.

    Raises:
        WorkspaceError: the workspace does not have the whole series applied.
        MendError: the edits do not fit into `patch`; nothing was changed.
    """
    with workspace.locked() as held:
        links = held.applied(series)
        if not held.edits():
            return []
        number = series.patches.index(patch)
        edited = workspace.tree()
        above = _Above(workspace.repository, series, links, number + 1, edited)
        diff = above.fold(patch.name, at=links[number].commit, before=above.commit(number))
        changed = {patch.name: head(patch) + diff, **above.carry()}
        names = {patch.name: patch.name for patch in series.patches}
        held.adopt(series, _below_patches(changed), names, known=(edited,))
        return list(changed)


def start(workspace: Workspace, series: Series, slug: str, stack: str, heading: Heading) -> str:
    """Make a patch of the user's edits, the last of its stack, and carry those above it over.

    Args:
        workspace: all of the series must be applied in it.
        series: the project's.
        slug: what it does, in small letters and hyphens.
        stack: an existing one, or a new one at the end of the series.
        heading: the header.

    Returns:
        The name of the new patch.

    Raises:
        WorkspaceError: the workspace does not have the whole series applied.
        MendError: there are no edits, or they do not fit there; nothing was changed.
        DraftError: the header is not in the documented form; nothing was changed.
    """
    for what, text, pattern in (("name", slug, _SLUG), ("stack", stack, _STACK)):
        if not pattern.fullmatch(text):
            raise MendError(
                f"{text!r} will not do as the {what} of a patch",
                remedy="Use small letters and digits"
                + (", with hyphens between words." if pattern is _SLUG else "."),
            )
    with workspace.locked() as held:
        links = held.applied(series)
        if not held.edits():
            raise MendError(
                "nothing was edited on top of the patches",
                remedy=f"Edit files in {workspace.path}, then run this again.",
            )
        its = [number for number, patch in enumerate(series.patches) if patch.stack == stack]
        number = its[-1] + 1 if its else len(series.patches)
        name = f"{stack}/{len(its) + 1:04d}-{slug}.patch"
        edited = workspace.tree()
        above = _Above(workspace.repository, series, links, number, edited)
        parent = above.commit(number)
        diff = above.fold(name, at=parent, before=parent)
        changed = {name: heading.as_mail() + diff, **above.carry()}
        listing = (series.root / "patches" / "series").read_text().splitlines()
        places = [line.strip() for line in listing]
        after = places.index(series.patches[number - 1].name) + 1 if number else len(places)
        listing.insert(after, name)
        files = _below_patches(changed)
        files["patches/series"] = "".join(f"{line}\n" for line in listing).encode()
        names = {patch.name: patch.name for patch in series.patches}
        held.adopt(series, files, names, known=(edited,))
        return name


def head(patch: Patch) -> bytes:
    """Return the part of a patch file before its diff."""
    return patch.data[: -len(patch.diff)]


def describe_conflict(conflict: Conflict, theirs: str) -> str:
    """Say in a line why a file needs a decision; `theirs` is what changes it."""
    if conflict.blocked_by:
        return f"{conflict.path}: {theirs} needs its place, where {conflict.blocked_by} stands"
    if not conflict.ours:
        return f"{conflict.path}: {theirs} changes it, but it is gone"
    if not conflict.theirs:
        return f"{conflict.path}: {theirs} removes it, but it is another than it was"
    if conflict.content is None:
        kinds = {"120000": "a link", "160000": "a submodule"}
        kind = kinds.get(conflict.ours.mode, "a binary file")
        return f"{conflict.path}: {theirs} changes lines of it, but it is {kind} now"
    return f"{conflict.path}: the changes meet"


class _Above:
    """The patches of a series from one on, as they are carried over to a changed tree.

    Args:
        repository: the workspace's.
        series: all of it is applied.
        links: its chain.
        number: the first patch above the edits.
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
        self._tip = self.commit(len(links))
        self._edited = edited
        self._tree = ""
        self._place = ""

    def commit(self, number: int) -> str:
        """Return the commit on top of which patch `number`, from 0, was applied."""
        return self._links[number - 1].commit if number else self._series.pin

    def fold(self, name: str, *, at: str, before: str) -> bytes:
        """Bring the edits to the tree `at`, and return all that differs from `before`."""
        diff_of_patch(self._git, self._tip, self._edited)
        merged = merge(
            self._git, base=self._tip, ours=at, theirs=self._edited, labels=(name, "your edits")
        )
        if merged.conflicts:
            raise MendError(
                "\n".join(
                    [
                        f"the edits touch what a patch after {name} made:",
                        *(f"  {describe_conflict(c, 'the edit')}" for c in merged.conflicts),
                    ]
                ),
                remedy="Put them into that patch, or into the last one.",
            )
        self._tree, self._place = merged.tree, name
        return self._diff(before, name)

    def carry(self) -> dict[str, bytes]:
        """Carry the patches over; return the contents of those that touch edited files."""
        edited = self._git.out("diff", "--name-only", "-z", "--no-renames", self._tip, self._edited)
        changed = {}
        for number in range(self._number, len(self._links)):
            patch = self._series.patches[number]
            merged = merge(
                self._git,
                base=self.commit(number),
                ours=self._tree,
                theirs=self._links[number].commit,
                labels=(self._place, patch.name),
                patch=patch,
            )
            if merged.conflicts:
                reasons = [f"  {describe_conflict(c, patch.name)}" for c in merged.conflicts]
                title = f"{patch.name} does not fit on top of the edits in {self._place}:"
                raise MendError(
                    "\n".join([title, *reasons]),
                    remedy=f"Put them into {patch.name} or a later patch.",
                )
            before, self._tree = self._tree, merged.tree
            if set(edited.split("\0")) & set(patch.paths):
                changed[patch.name] = head(patch) + self._diff(before, patch.name)
        if self._tree != self._edited:
            raise MendError(
                f"with the edits in {self._place} the patches would not make what you have",
                remedy="Put them into a later patch.",
            )
        return changed

    def _diff(self, before: str, name: str) -> bytes:
        diff = diff_of_patch(self._git, before, self._tree)
        if not diff:
            raise MendError(
                f"the edits leave nothing of {name}",
                remedy="Take it out of patches/series instead.",
            )
        return diff


def diff_of_patch(repository: Repository, before: str, after: str) -> bytes:
    """Return the diff between two trees as a patch file holds it.

    Raises:
        MendError: a binary file differs.
    """
    diff = repository.run("diff", *DIFF_OPTIONS, before, after).stdout
    if b"\nGIT binary patch\n" in diff:
        raise MendError(
            "a binary file was edited, which a patch here cannot hold",
            remedy="Undo that edit: see `mfn-patch diff --local --stat`.",
        )
    return diff


def _below_patches(changed: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"patches/{name}": data for name, data in changed.items()}
