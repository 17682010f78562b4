"""Writing patches anew: from edits in a workspace, with the patches above carried over."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.git import DIFF_OPTIONS, GitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfn_patcher.chain import Link
    from mfn_patcher.git import Repository
    from mfn_patcher.patches import Patch, Series


class MendError(MfnPatchError):
    """The edits cannot become part of the patch; nothing was changed."""


def fold(
    repository: Repository, series: Series, links: Sequence[Link], patch: Patch
) -> dict[str, bytes]:
    """Fold what was edited on top of a chain into one of its patches.

    Args:
        repository: the workspace's, with the edits in its work tree.
        series: all of it is applied.
        links: its chain.
        patch: the one that the edits go into.

    Returns:
        The new bytes of the patch files that become others, by name.

    Raises:
        MendError: the edits do not fit below the patches above, or leave nothing of `patch`.
    """
    edits = repository.run("diff", *DIFF_OPTIONS, links[-1].commit).stdout
    edited = set(repository.out("diff", "--name-only", "-z", links[-1].commit).split("\0"))
    number = series.patches.index(patch)
    before = links[number - 1].commit if number else series.pin
    renewed: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        repository.run("read-tree", links[number].commit, env=index)
        for step in series.patches[number:]:
            change = edits if step is patch else step.diff
            try:
                repository.run("apply", "--cached", "-", stdin=change, env=index)
            except GitError as error:
                raise _collision(patch, step, error) from error
            tree = repository.out("write-tree", "--missing-ok", env=index)
            diff = repository.run("diff", *DIFF_OPTIONS, before, tree).stdout
            if not diff:
                raise MendError(
                    f"the edits leave nothing of {step.name}",
                    remedy="Take it out of patches/series instead.",
                )
            if b"\nGIT binary patch\n" in diff:
                raise MendError(
                    "a binary file was edited, which a patch here cannot hold",
                    remedy="Undo that edit: see `mfn-patch diff --local --stat`.",
                )
            if step is patch or edited & set(step.paths):
                renewed[step.name] = step.data[: -len(step.diff)] + diff
            before = tree
    if repository.run("diff", "--quiet", before, expected=(0, 1)).status:
        raise MendError(
            f"with the edits in {patch.name} the patches would not make what you have",
            remedy="Put them into a later patch.",
        )
    return renewed


def _collision(patch: Patch, step: Patch, error: GitError) -> MendError:
    said = error.stderr.decode(errors="replace").strip()
    if step is patch:
        return MendError(
            f"the edits touch what a patch after {patch.name} made: {said}",
            remedy="Refresh that patch, or the last one.",
        )
    return MendError(
        f"{step.name} does not fit on top of {patch.name} with the edits: {said}",
        remedy=f"Put them into {step.name} or a later patch.",
    )


def write_patches(series: Series, renewed: Mapping[str, bytes]) -> None:
    """Write patch files: all beside their places first, then each moves over the old one."""
    written = []
    for name, data in renewed.items():
        place = series.root / "patches" / name
        new = place.with_name(f".{place.name}.new")
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        written.append((new, place))
    for new, place in written:
        new.replace(place)
