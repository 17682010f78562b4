"""The chain: patches as commits on top of the pin, built without a work tree.

Patches are applied to contents in memory, by the code that the drift check uses, and git makes all
commits in one go. Author, committer and dates come from the patch files, so equal patches give
equal commit ids everywhere.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import mail, threeway
from mfn_patcher.patching.binary import BinaryPatchError
from mfn_patcher.patching.hunks import apply_fits, describe_misfit, fit
from mfn_patcher.patching.objects import Blobs, blob_id
from mfn_patcher.patching.threeway import Offset
from mfn_patcher.patching.unified import ABSENT
from mfn_patcher.patching.worktree import FILE, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfn_patcher.patching.git import Repository
    from mfn_patcher.patching.hunks import Fit
    from mfn_patcher.patching.patchfile import Patch
    from mfn_patcher.patching.series import Series
    from mfn_patcher.patching.threeway import ThreeWay
    from mfn_patcher.patching.unified import FilePatch

_NAME_TRAILER = "Mfn-Patch"
_DIGEST_TRAILER = "Mfn-Patch-Digest"

_BUILDING = b"refs/mfn-patch/building"  # exists only while git makes the commits


@dataclass(frozen=True)
class Link:
    """One commit of a chain.

    Attributes:
        patch: the name of the patch.
        digest: the SHA-256 of the patch file, in hex.
        commit: the commit id.
        offsets: hunks that moved because an earlier patch was left out.
    """

    patch: str
    digest: str
    commit: str
    offsets: tuple[Offset, ...] = ()


class PatchConflictError(MfnPatchError):
    """A patch of the series does not apply."""

    def __init__(self, patch: Patch, reasons: list[str], remedy: str) -> None:
        super().__init__("\n".join([f"{patch.name} does not apply", *reasons]), remedy=remedy)
        self.patch = patch


def build_chain(repository: Repository, series: Series, patches: Sequence[Patch]) -> list[Link]:
    """Make a commit of each of `patches` on top of the pin, and return them in order.

    A file that has the pre-image blob of a patch must become its post-image blob, byte for byte.
    Another blob is accepted only if an earlier patch of the series that changes the file was left
    out; then hunks may move, and the links have their offsets.

    Raises:
        PatchConflictError: a patch does not apply; the message lists every hunk that does not fit.
    """
    if not patches:
        return []
    chosen = {patch.name for patch in patches}
    left_out: list[Patch] = []
    tree = _Tree(repository, series.pin, {path for patch in patches for path in patch.paths})
    whole = _Whole(repository, series)
    offsets = []
    orders = [b"reset %s\nfrom %s\n\n" % (_BUILDING, series.pin.encode())]
    for patch in series.patches:
        if patch.name not in chosen:
            left_out.append(patch)
            continue
        missing = [other for other in left_out if set(other.paths) & set(patch.paths)]
        offsets.append(_apply(patch, tree, missing, whole))
        orders.append(_commit_order(patch, len(offsets), tree))
    # The commits are returned by id; no ref to them remains.
    orders.append(b"reset %s\nfrom %s\n\n" % (_BUILDING, ABSENT.encode()))
    orders += [b"get-mark :%d\n" % number for number in range(1, len(offsets) + 1)]
    # On a file system that ignores case, git would change the file of another spelling instead.
    how = ("-c", "core.ignorecase=false", "fast-import", "--quiet", "--done")
    # As elsewhere in git, the time zone of a date may be one that does not exist.
    dates = "--date-format=raw-permissive"
    commits = repository.out(*how, dates, stdin=b"".join([*orders, b"done\n"]))
    return [
        Link(patch.name, patch.digest, commit, moved)
        for patch, commit, moved in zip(patches, commits.split(), offsets)
    ]


def read_chain(repository: Repository, base: str, tip: str) -> list[Link]:
    """Return the chain from `base` (exclusive) to `tip`, according to the commits' trailers."""
    trailers = ",".join(
        f"%(trailers:key={key},valueonly)" for key in (_NAME_TRAILER, _DIGEST_TRAILER)
    )
    log = repository.out("log", "-z", "--reverse", f"--format=%H,{trailers}", tip, f"^{base}")
    links = []
    for entry in filter(None, log.split("\0")):
        commit, name, digest = (part.strip() for part in entry.split(","))
        links.append(Link(name, digest, commit))
    return links


class _Tree:
    """The files of a commit, with the changes of the patches so far.

    Args:
        repository: the repository with the commit.
        commit: the commit id.
        paths: the files whose contents will be read.
    """

    def __init__(self, repository: Repository, commit: str, paths: set[str]) -> None:
        self._files = repository.entries(commit)
        self._blobs = Blobs(repository)
        self._blobs.load(self._files[path][1] for path in paths if path in self._files)

    def blob(self, path: str) -> str:
        return self._files[path][1] if path in self._files else ABSENT

    def mode(self, path: str) -> str:
        return self._files[path][0]

    def read(self, path: str) -> bytes:
        """Return the content of a file, empty if there is no file."""
        return self._blobs.read(self.blob(path)) if path in self._files else b""

    def write(self, path: str, mode: str | None, content: bytes) -> None:
        """Change or add a file; None keeps its mode."""
        mode = mode or (self.mode(path) if path in self._files else FILE)
        self._files[path] = mode, self._blobs.add(content)

    def remove(self, path: str) -> None:
        del self._files[path]

    def blocks(self, path: str) -> bool:
        """Return whether a file or folder prevents a new file."""
        return any(
            there == path or there.startswith(f"{path}/") or path.startswith(f"{there}/")
            for there in self._files
        )


class _Whole:
    """The whole series applied: the files before and after each patch.

    Args:
        repository: the repository with the pin.
        series: the series.
    """

    def __init__(self, repository: Repository, series: Series) -> None:
        self.repository = repository
        self._series = series

    def versions(self, patch: Patch, path: str) -> tuple[bytes, bytes] | None:
        """Return a file before and after a patch; None if there is no file, or it is unknown."""
        return self._versions.get((patch.name, path))

    @cached_property
    def _versions(self) -> dict[tuple[str, str], tuple[bytes, bytes]]:
        patches = self._series.patches
        paths = {path for patch in patches for path in patch.paths}
        tree = _Tree(self.repository, self._series.pin, paths)
        known = {}
        with contextlib.suppress(PatchConflictError):  # a broken patch was left out
            for patch in patches:
                before = {
                    path: tree.read(path) for path in patch.paths if tree.blob(path) != ABSENT
                }
                _apply(patch, tree, [], self)
                for path, content in before.items():
                    if tree.blob(path) != ABSENT:
                        known[patch.name, path] = content, tree.read(path)
        return known


def _apply(patch: Patch, tree: _Tree, missing: list[Patch], whole: _Whole) -> tuple[Offset, ...]:
    """Apply `patch` to `tree`, and return the offsets of hunks that moved.

    A file that patches in `missing` change is merged, as git does it, with its versions in the
    whole series.

    Raises:
        PatchConflictError: hunks do not fit, must not move, or give another post-image.
    """
    offsets: list[Offset] = []
    reasons: list[str] = []
    merged: set[str] = set()
    for file in patch.files:
        if file.path in merged:
            continue
        if obstacle := _obstacle(file, tree):
            reasons.append(f"  {file.path}: {obstacle}")
            continue
        blob, content = tree.blob(file.path), tree.read(file.path)
        if file.only_mode:
            tree.write(file.path, file.mode, content)
            continue
        exact = blob == file.source_blob
        fits = fit(content, file.hunks)
        conflicts = [entry for entry in fits if entry.found is not None]
        reasons += [describe_misfit(file.path, entry) for entry in conflicts]
        if conflicts:
            continue
        lacking = not exact and any(file.path in other.paths for other in missing)
        result = _merge(patch, file, tree, whole) if lacking else None
        if result and result.content is not None and not result.conflicting:
            # The hunks fit, but if the file has equal blocks, they may belong to another one.
            merged.add(file.path)
            tree.write(file.path, file.mode, result.content)
            offsets += result.offsets(it for it in patch.files if it.path == file.path)
            continue
        if result or any(entry.ambiguous for entry in fits):
            reasons.append(f"  {file.path}: the place of the change is ambiguous")
        if not exact and not lacking:
            reasons.append(f"  {file.path}: is blob {blob}, not {file.source_blob}")
        after = _after(file, content, fits)
        left = ABSENT if file.target_blob == ABSENT and not after else blob_id(after)
        if left != file.target_blob and (exact or file.target_blob == ABSENT):
            reasons.append(f"  {file.path}: becomes blob {left}, not {file.target_blob}")
        if left == ABSENT:
            tree.remove(file.path)
        else:
            tree.write(file.path, file.mode, after)
        offsets += [Offset(file.path, f.hunk.number, f.offset) for f in fits if f.offset]
    if reasons:
        raise PatchConflictError(patch, reasons, _remedy(missing))
    return tuple(offsets)


def _obstacle(file: FilePatch, tree: _Tree) -> str:
    """Return what prevents a change, before any of its hunks is tried, or an empty string."""
    if file.source_blob == ABSENT:
        return "already exists" if tree.blocks(file.path) else ""
    if tree.blob(file.path) == ABSENT:
        return "does not exist"
    if tree.mode(file.path) not in (FILE, PROGRAM):
        return "is a link or a submodule"
    if file.old_mode and tree.mode(file.path) != file.old_mode:
        return f"has mode {tree.mode(file.path)}, not {file.old_mode}"
    if file.binary and tree.blob(file.path) != file.source_blob:
        return f"is blob {tree.blob(file.path)}, not {file.source_blob}"
    return ""


def _after(file: FilePatch, content: bytes, fits: list[Fit]) -> bytes:
    """Return the post-image; nothing, which has another blob id, if a binary patch is damaged."""
    if not file.binary:
        return apply_fits(content, fits)
    with contextlib.suppress(BinaryPatchError):
        return file.binary.apply(content)
    return b""


def _merge(patch: Patch, file: FilePatch, tree: _Tree, whole: _Whole) -> ThreeWay | None:
    """Merge a file with its versions in the whole series, if these are known."""
    versions = whole.versions(patch, file.path)
    if not versions:
        return None
    before, after = versions
    labels = ("without", patch.name)
    return threeway.merge(whole.repository, before, tree.read(file.path), after, labels)


def _remedy(missing: list[Patch]) -> str:
    if missing:
        names = ", ".join(patch.name for patch in missing)
        return f"It builds on patches that you left out: {names}. Apply these too."
    return "Run `mfn-patch lint`. A patch that was made for another commit must be exported again."


def commit_patch(repository: Repository, patch: Patch, tree: str, parent: str) -> str:
    """Make a commit of `patch` with `tree` on top of `parent`, and return its id."""
    env = {}
    for role in ("AUTHOR", "COMMITTER"):
        env[f"GIT_{role}_NAME"], env[f"GIT_{role}_EMAIL"] = _identity(patch)
        env[f"GIT_{role}_DATE"] = f"@{_date(patch)}"
    return repository.out("commit-tree", tree, "-p", parent, stdin=_message(patch), env=env)


def _identity(patch: Patch) -> tuple[str, str]:
    """Return the name and the address of the author as they are in a commit."""
    return mail.in_commit(patch.header.author), mail.in_commit(patch.header.address)


def _commit_order(patch: Patch, mark: int, tree: _Tree) -> bytes:
    """Return the ``git fast-import`` command for the commit that `commit_patch` would make."""
    name, address = _identity(patch)
    signature = f"{name} <{address}> {_date(patch)}".encode()
    message = _message(patch)
    lines = [
        b"commit %s\nmark :%d\n" % (_BUILDING, mark),
        b"author %s\ncommitter %s\ndata %d\n%s\n" % (signature, signature, len(message), message),
    ]
    for path in patch.paths:
        if tree.blob(path) == ABSENT:
            lines.append(b"D %s\n" % _quoted(path))
        else:
            content = tree.read(path)
            mode = tree.mode(path).encode()
            lines.append(b"M %s inline %s\n" % (mode, _quoted(path)))
            lines.append(b"data %d\n%s\n" % (len(content), content))
    return b"".join(lines)


def _quoted(path: str) -> bytes:
    name = os.fsencode(path)
    return b'"%s"' % re.sub(rb'(["\\])', rb"\\\1", name)


def _date(patch: Patch) -> str:
    return f"{int(patch.header.date.timestamp())} {patch.header.date:%z}"


def _message(patch: Patch) -> bytes:
    header = patch.header
    body = f"{header.body}\n\n" if header.body else ""
    return (
        f"{header.subject}\n\n{body}"
        f"{_NAME_TRAILER}: {patch.name}\n{_DIGEST_TRAILER}: {patch.digest}\n"
    ).encode()
