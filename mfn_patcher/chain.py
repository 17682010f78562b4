"""The chain: a series of patches as commits on top of a base, built without a work tree.

A patch is applied to a private index, so nothing that the user sees changes. Author, committer
and dates come from the patch file: equal patches give equal commit ids everywhere.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.git import GitError
from mfn_patcher.hunks import fit
from mfn_patcher.patches import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mfn_patcher.git import Repository
    from mfn_patcher.hunks import Fit
    from mfn_patcher.patches import FilePatch, Patch, Series

_NAME_TRAILER = "Mfn-Patch"
_DIGEST_TRAILER = "Mfn-Patch-Digest"


@dataclass(frozen=True)
class Offset:
    """A hunk that fits only some lines away from where its patch says."""

    path: str
    hunk: int
    lines: int


@dataclass(frozen=True)
class Link:
    """One commit of a chain.

    Attributes:
        patch: the name of the patch that it applies.
        digest: the SHA-256 of that patch file, in hex.
        commit: its id.
        offsets: hunks that moved because an earlier patch of the series was left out.
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
    """Make a commit of each of `patches` on top of the series' pin, and return them in order.

    A file whose blob is the one the patch was made for must become the blob that the patch
    names, to the byte. Another blob is accepted only where an earlier patch of the series that
    touches the file was left out by the user; then hunks may move, and their offsets are told.

    Raises:
        PatchConflictError: a patch does not apply; the message shows every bad hunk.
    """
    links: list[Link] = []
    parent = series.pin
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        repository.run("read-tree", parent, env=index)
        for patch in patches:
            before = _blobs(repository, patch.paths, index)
            missing = [
                earlier
                for earlier in series.patches[: series.patches.index(patch)]
                if earlier not in patches and set(earlier.paths) & set(patch.paths)
            ]
            offsets = _offsets(repository, patch, before, missing)
            try:
                repository.run("apply", "--cached", "-", stdin=patch.diff, env=index)
            except GitError as error:
                raise PatchConflictError(
                    patch, [error.stderr.decode(errors="replace").strip()], _remedy(missing)
                ) from error
            after = _blobs(repository, patch.paths, index)
            for file in patch.files:
                if before[file.path] == file.source_blob and after[file.path] != file.target_blob:
                    raise PatchConflictError(
                        patch,
                        [f"  {file.path}: leaves blob {after[file.path]}, not {file.target_blob}"],
                        "Export the patch again with full blob ids.",
                    )
            # --missing-ok: in a blob-filtered clone git would fetch every blob of the tree.
            tree = repository.out("write-tree", "--missing-ok", env=index)
            parent = commit_patch(repository, patch, tree, parent)
            links.append(Link(patch.name, patch.digest, parent, offsets))
    return links


def read_chain(repository: Repository, base: str, tip: str) -> list[Link]:
    """Return the chain of commits from `base` (not included) to `tip`, as their trailers tell."""
    trailers = ",".join(
        f"%(trailers:key={key},valueonly)" for key in (_NAME_TRAILER, _DIGEST_TRAILER)
    )
    log = repository.out("log", "-z", "--reverse", f"--format=%H,{trailers}", tip, f"^{base}")
    links = []
    for entry in filter(None, log.split("\0")):
        commit, name, digest = (part.strip() for part in entry.split(","))
        links.append(Link(name, digest, commit))
    return links


def _blobs(
    repository: Repository, paths: Iterable[str], index: Mapping[str, str]
) -> dict[str, str]:
    listing = repository.out("ls-files", "-z", "--stage", "--", *paths, env=index)
    blobs = dict.fromkeys(paths, ABSENT)
    for entry in filter(None, listing.split("\0")):
        information, _, path = entry.partition("\t")
        blobs[path] = information.split()[1]
    return blobs


def _offsets(
    repository: Repository, patch: Patch, blobs: Mapping[str, str], missing: list[Patch]
) -> tuple[Offset, ...]:
    """Return how far hunks move; raise for hunks that fit nowhere or must not move."""
    offsets: list[Offset] = []
    reasons: list[str] = []
    for file in patch.files:
        blob = blobs[file.path]
        if blob == file.source_blob:
            continue
        if ABSENT in (blob, file.source_blob):
            there = "is not there" if blob == ABSENT else "is there already"
            reasons.append(f"  {file.path}: {there}")
            continue
        fits = fit(repository.run("cat-file", "blob", blob).stdout, file.hunks)
        conflicts = [entry for entry in fits if entry.found is not None]
        reasons += [describe_conflict(file, entry) for entry in conflicts]
        if not conflicts and not any(file.path in other.paths for other in missing):
            reasons.append(f"  {file.path}: is blob {blob}, not {file.source_blob}")
        offsets += [Offset(file.path, f.hunk.number, f.offset) for f in fits if f.offset]
    if reasons:
        raise PatchConflictError(patch, reasons, _remedy(missing))
    return tuple(offsets)


def describe_conflict(file: FilePatch, fit: Fit) -> str:
    """Return which hunk of `file` does not fit, and the expected and found text, line by line."""
    rows = [f"  {file.path}: hunk {fit.hunk.number} ({fit.hunk.header}), near line {fit.line}"]
    found = fit.found or ()
    for title, lines in (("expected", fit.hunk.source), ("found", found)):
        rows.append(f"    {title}:")
        other = fit.hunk.source if lines is found else found
        for position, line in enumerate(lines):
            differs = position >= len(other) or other[position] != line
            text = line.decode(errors="replace").rstrip("\r\n")
            rows.append(f"    {'>' if differs else ' '} {text}")
    return "\n".join(rows)


def _remedy(missing: list[Patch]) -> str:
    if missing:
        names = ", ".join(patch.name for patch in missing)
        return f"It builds on what you left out: {names}. Apply that too."
    return "Run `mfn-patch lint`; a patch made for another commit must be exported again."


def commit_patch(repository: Repository, patch: Patch, tree: str, parent: str) -> str:
    """Make the commit of `patch`, which leaves `tree`, on top of `parent`; return its id."""
    header = patch.header
    date = f"@{int(header.date.timestamp())} {header.date:%z}"
    env = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    for role in ("AUTHOR", "COMMITTER"):
        env[f"GIT_{role}_NAME"] = header.author
        env[f"GIT_{role}_EMAIL"] = header.address
    message = (
        f"{header.subject}\n\n{header.body}\n\n"
        f"{_NAME_TRAILER}: {patch.name}\n{_DIGEST_TRAILER}: {patch.digest}\n"
    )
    return repository.out("commit-tree", tree, "-p", parent, stdin=message.encode(), env=env)
