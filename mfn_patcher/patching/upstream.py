"""Bringing the pinned commit, and only what training reads of it, into a repository."""

from __future__ import annotations

import os
import re
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.address import Address, AddressError, as_address, redact
from mfn_patcher.patching.git import GitError, Repository, version
from mfn_patcher.patching.worktree import SUBMODULE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

REMOTE = "mfn-patch"  # a remote of our own: a user's clone may use the common names

# Sparse checkout patterns: what training, verification and model_slim read, and the licence.
# Upstream's detector models and face arrays, some 13 MB, are neither fetched nor checked out.
PATHS = (
    "/.gitignore",
    "/LICENSE",
    "/README.md",
    "/datasets/",
    "/models/",
    "/deploy/*.py",
    "/src/*.py",
    "/src/common/",
    "/src/eval/",
    "/src/losses/",
    "/src/symbols/",
)

# A repository on this machine serves single commits and filtered fetches only if told to. Its
# owner's configuration need not be touched for that: we start the serving side ourselves.
_LOCAL_UPLOAD_PACK = (
    "git -c uploadpack.allowFilter=true -c uploadpack.allowAnySHA1InWant=true upload-pack"
)

_FETCH = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-prune",
    "--refmap=",
    "--no-write-fetch-head",
)
# git reads these from the index wherever it checks something out, whether it shows them or not.
_READ_BY_GIT = (".gitattributes", ".gitignore", ".gitmodules")

_COMMIT = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)
_ABBREVIATION = re.compile(r"[0-9a-f]{4,39}", re.IGNORECASE)
_ANSWER = 120  # seconds that a host has to list its branches
_FOR_SECRETS = (2, 31)  # reads settings from GIT_CONFIG_COUNT and its like


class FetchError(MfnPatchError):
    """A commit of upstream could not be brought here."""


def fetch_pin(
    repository: Repository, address: str, pin: str, patterns: tuple[str, ...] = PATHS
) -> None:
    """Make the commit `pin`, its trees and the blobs of `patterns` available in `repository`.

    One commit is asked for, without history and without blobs; then the blobs of `patterns` in
    one request. A host that refuses single commits is asked for its branches instead, one that
    does not filter sends every blob of the commit.

    Raises:
        FetchError: the address cannot be reached or does not hold the commit.
    """
    address = _configure_remote(repository, address)
    # A user's whole clone must stay whole.
    whole = repository.resolve("HEAD") and not (repository.git_dir / "shallow").exists()
    depth = () if whole else ("--depth=1",)
    attempts = (
        (*_FETCH, *depth, "--filter=blob:none", REMOTE, pin),
        (*_FETCH, *depth, REMOTE, pin),
        (*_FETCH, "--filter=blob:none", REMOTE, f"+refs/heads/*:refs/remotes/{REMOTE}/*"),
    )
    errors: list[GitError] = []
    for attempt in attempts:
        try:
            repository.run(*attempt)
            if repository.resolve(pin):
                _fetch_files(repository, pin, patterns)
                return
        except GitError as error:
            errors.append(error)
    raise FetchError(_reason(address, pin, errors), remedy=_remedy(errors)) from (
        errors[0] if errors else None
    )


def fetch_revision(
    repository: Repository, address: str, revision: str, patterns: tuple[str, ...]
) -> str:
    """Make a revision of upstream available, as `fetch_pin` does, and return its commit id.

    Args:
        repository: to fetch into.
        address: where upstream is.
        revision: a commit id, whole or abbreviated, the name of a branch or tag, its full name
            (``refs/tags/v1``), or ``upstream`` for the default branch.
        patterns: the paths whose blobs are wanted.

    Raises:
        FetchError: the address cannot be reached or does not hold the revision, or the name
            could mean one commit or another.
    """
    commit = _resolve(repository, address, revision)
    fetch_pin(repository, address, commit, patterns)
    return commit


def fetch_history(
    repository: Repository, address: str, revisions: Sequence[str]
) -> tuple[str, ...]:
    """Make the whole history of `revisions` available, without blobs; return their commit ids.

    Args:
        repository: to fetch into; it must not be shallow.
        address: where upstream is.
        revisions: as `fetch_revision` takes them.

    Raises:
        FetchError: the address cannot be reached or does not hold a revision.
    """
    address = _configure_remote(repository, address)
    commits = tuple(_resolve(repository, address, revision) for revision in revisions)
    try:
        repository.run(*_FETCH, "--filter=blob:none", REMOTE, *commits)
    except GitError as error:
        raise FetchError(_reason(address, commits[-1], [error]), remedy=_remedy([error])) from error
    return commits


def fetch_missing(repository: Repository, address: str, blobs: Iterable[str]) -> None:
    """Fetch those of `blobs` that `repository` lacks; without any, nobody is asked.

    Raises:
        FetchError: the address cannot be reached or does not hold one of them.
    """
    missing = repository.missing(blobs)
    if not missing:
        return
    address = _configure_remote(repository, address)
    try:
        fetch_blobs(repository, missing)
    except GitError as error:
        raise FetchError(
            f"{len(missing)} files could not be fetched from {address}: {_shown(error.stderr)}",
            remedy=_remedy([error]),
        ) from error


def fetch_blobs(repository: Repository, blobs: Iterable[str]) -> None:
    """Fetch blobs from `REMOTE`, all at once."""
    ids = "\n".join(sorted(blobs))
    if ids:
        repository.run(
            "-c",
            "fetch.negotiationAlgorithm=noop",
            *_FETCH,
            "--filter=blob:none",
            "--stdin",
            REMOTE,
            stdin=ids.encode(),
        )


def _resolve(repository: Repository, address: str, revision: str) -> str:
    """Return the commit id that `revision` names at `address`; names match as a whole."""
    if _COMMIT.fullmatch(revision):
        return revision.lower()
    address = _configure_remote(repository, address)
    try:
        # All of them: patterns given to git match the tails of names, and globs.
        listing = repository.out("ls-remote", "--", REMOTE, seconds=_ANSWER)
    except GitError as error:
        raise FetchError(_reason(address, revision, [error]), remedy=_remedy([error])) from error
    there = {name: commit for commit, name in map(str.split, listing.splitlines())}
    if revision in ("upstream", "HEAD"):
        names = ["HEAD"]
    elif revision.startswith("refs/"):
        names = [revision]
    else:
        names = [f"refs/heads/{revision}", f"refs/tags/{revision}"]
    # The peeled entry of an annotated tag is the commit.
    found = {name: there.get(f"{name}^{{}}", there[name]) for name in names if name in there}
    if len(set(found.values())) > 1:
        raise FetchError(
            f"{address} has both a branch and a tag {revision!r}, and they are different commits",
            remedy=f"Name one of: {', '.join(found)}.",
        )
    if found:
        return next(iter(found.values()))
    commits = _complete(address, revision) if _ABBREVIATION.fullmatch(revision) else []
    if len(commits) != 1:
        what = f"{len(commits)} commits that begin with" if commits else "no branch, tag or commit"
        raise FetchError(
            f"{address} has {what} {revision!r}",
            remedy="Name a branch or tag that `git ls-remote` lists, or a commit by its id.",
        )
    return commits[0]


def _complete(address: str, abbreviation: str) -> list[str]:
    """Return the commits of upstream's branches whose ids begin so; no host can be asked that."""
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        commits = Repository(Path(folder, "commits"))
        commits.init()
        _configure_remote(commits, address)
        branches = f"+refs/heads/*:refs/remotes/{REMOTE}/*"
        try:
            commits.run(*_FETCH, "--filter=tree:0", REMOTE, branches)
        except GitError as error:
            reason = _reason(address, abbreviation, [error])
            raise FetchError(reason, remedy=_remedy([error])) from error
        ids = commits.out("rev-list", "--all").splitlines()
    return [commit for commit in ids if commit.startswith(abbreviation.lower())]


def _configure_remote(repository: Repository, address: str) -> Address:
    """Have `REMOTE` mean `address`, whose secrets are kept in no file; return it, checked."""
    address = as_address(address)
    repository.variables = _secrets(address)
    repository.run("config", f"remote.{REMOTE}.url", address)
    if address.startswith("file://") or os.path.isabs(address):  # noqa: PTH117
        repository.run("config", f"remote.{REMOTE}.uploadpack", _LOCAL_UPLOAD_PACK)
    else:
        repository.run("config", "--unset-all", f"remote.{REMOTE}.uploadpack", expected=(0, 5))
        _refuse_plain_files(repository, address)
    return address


def _refuse_plain_files(repository: Repository, address: Address) -> None:
    """Raise if a host only serves the files of a repository, the "dumb" protocol.

    It can neither leave out blobs nor send a single commit, and git would fetch a clone without
    all blobs from it by one process for each of them.

    Raises:
        FetchError: it does so, or it cannot be reached.
    """
    trace = {"GIT_TRACE_PACKET": "1"}
    try:
        asked = repository.run("ls-remote", "--", REMOTE, "HEAD", env=trace, seconds=_ANSWER)
    except GitError as error:
        without = re.sub(rb"(?m)^.*\bpacket: .*\n?", b"", error.stderr)
        raise FetchError(
            f"{address} could not be reached: {_shown(without)}", remedy=_remedy([error])
        ) from error
    # Only who speaks git's own protocol answers in packets.
    if b"packet:" not in asked.stderr:
        raise FetchError(
            f"{address} serves a repository as plain files, which cannot be fetched from in part",
            remedy="Clone it with git and name the clone: --upstream PATH, or "
            "MFN_PATCH_UPSTREAM=PATH.",
        )


def _secrets(address: Address) -> dict[str, str]:
    """Return variables by which git uses the whole of `address` where it reads the rest of it.

    Command lines can be read by every user of the machine, and files stay.
    """
    if address.url == address:
        return {}
    if version() < _FOR_SECRETS:
        raise AddressError(
            "this git is too old to be given a password in an address",
            remedy="Install git 2.31 or newer, or have a credential helper tell git the password.",
        )
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    return {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": f"url.{address.url}.insteadOf",
        f"GIT_CONFIG_VALUE_{count}": address,
    }


def _fetch_files(repository: Repository, pin: str, patterns: tuple[str, ...]) -> None:
    wanted = {
        blob
        for path, (mode, blob) in repository.entries(pin).items()
        if mode != SUBMODULE
        and (matches(path, patterns) or path.rpartition("/")[2] in _READ_BY_GIT)
    }
    fetch_blobs(repository, repository.missing(wanted))


def pattern(path: str) -> str:
    """Return the pattern that the file `path` alone matches."""
    return "/" + re.sub(r"([\\*?\[]| \Z)", r"\\\1", path)


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Return whether one of `patterns` covers `path`, or a folder that it is in."""
    return any(_expression(pattern).match(f"/{path}") for pattern in patterns)


@lru_cache
def _expression(pattern: str) -> re.Pattern[str]:
    """Translate a pattern: ``*`` is any part of a name, and a backslash quotes."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    text = "".join("[^/]*" if part == "*" else re.escape(part[-1]) for part in parts)
    return re.compile(text if pattern.endswith("/") else rf"{text}(?:/|\Z)", re.DOTALL)


def _reason(address: str, pin: str, errors: list[GitError]) -> str:
    if not errors:
        return f"{address} does not hold the commit {pin}"
    said = _shown(errors[0].stderr)
    return f"commit {pin[:12]} could not be fetched from {address}: {said}"


def _shown(stderr: bytes) -> str:
    return " / ".join(redact(stderr.decode(errors="replace")).split("\n")).strip(" /")


def _remedy(errors: list[GitError]) -> str:
    said = b" ".join(error.stderr for error in errors)
    if b"dubious ownership" in said:
        return (
            "The repository belongs to another user; if you trust it, run the command that git "
            "names: git config --global --add safe.directory <path>."
        )
    return (
        "Check the network and the address. A clone or mirror will do as well: "
        "--upstream PATH, or MFN_PATCH_UPSTREAM=PATH."
    )
