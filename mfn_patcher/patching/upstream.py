"""Fetching commits of upstream, and only the blobs that are needed, into a repository."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.address import Address, AddressError, as_address, redact
from mfn_patcher.patching.git import GitError, remedy_for, temporary_repository, version
from mfn_patcher.patching.sparse import matches
from mfn_patcher.patching.unified import ABSENT
from mfn_patcher.patching.worktree import SUBMODULE
from mfn_patcher.progress import task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from mfn_patcher.patching.git import Repository

REMOTE = "mfn-patch"  # a remote of our own, because the user's clone may use the common names

# A local repository serves single commits and filtered fetches only if configured to. We start the
# serving side ourselves, so the owner's configuration need not change.
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
# git reads these from the index at each checkout, even outside of the sparse patterns.
_READ_BY_GIT = (".gitattributes", ".gitignore", ".gitmodules")

_BRANCHES = f"+refs/heads/*:refs/remotes/{REMOTE}/*"
_COMMIT = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)
_ABBREVIATION = re.compile(r"[0-9a-f]{4,39}", re.IGNORECASE)
_WITHOUT_SSH = re.compile(r"(https?|file)://|/", re.IGNORECASE)
_TIMEOUT = 120  # seconds for a host to list its branches
_FOR_SECRETS = (2, 31)  # the first version that reads GIT_CONFIG_COUNT
_CONVERT = (
    "Commit ids and patches have SHA-1 ids. Use a mirror with these, which `git fast-export --all` "
    "and `git fast-import` can make of a clone."
)


class FetchError(MfnPatchError):
    """A commit of upstream could not be fetched."""


def fetch_pin(repository: Repository, address: str, pin: str, patterns: tuple[str, ...]) -> None:
    """Fetch a commit, its trees and the blobs that match `patterns`.

    The first request asks for one commit, without history and blobs; the second for the blobs. If
    the host refuses single commits, its branches are fetched instead. If it cannot filter, it
    sends every blob of the commit.

    Args:
        repository: the repository to fetch into.
        address: the address of upstream.
        pin: the id of the commit.
        patterns: sparse checkout patterns.

    Raises:
        FetchError: the address cannot be reached or does not have the commit.
    """
    address = _configure_remote(repository, address)
    # A full clone of the user's must not become shallow.
    whole = repository.resolve("HEAD") and not (repository.git_dir / "shallow").exists()
    depth = () if whole else ("--depth=1",)
    errors: list[GitError] = []
    for attempt in ((*depth, REMOTE, pin), (REMOTE, _BRANCHES)):
        try:
            _fetch(repository, *attempt)
            if repository.resolve(pin):
                _fetch_files(repository, pin, patterns)
                return
        except GitError as error:
            errors.append(error)
    raise _failed(address, pin, errors) from (errors[0] if errors else None)


def fetch_revision(
    repository: Repository, address: str, revision: str, patterns: tuple[str, ...]
) -> str:
    """Fetch a revision of upstream as `fetch_pin` does, and return its commit id.

    Args:
        repository: the repository to fetch into.
        address: the address of upstream.
        revision: a full or abbreviated commit id, a branch or tag, a full ref name such as
            ``refs/tags/v1``, or ``upstream`` for the default branch.
        patterns: sparse checkout patterns of the blobs to fetch.

    Raises:
        FetchError: the address cannot be reached, does not have the revision, or the name is
            ambiguous.
    """
    commit = _resolve(repository, address, revision)
    fetch_pin(repository, address, commit, patterns)
    return commit


def fetch_history(
    repository: Repository, address: str, revisions: Sequence[str]
) -> tuple[str, ...]:
    """Fetch the full history of `revisions`, without blobs, and return their commit ids.

    Args:
        repository: the repository to fetch into; it must not be shallow.
        address: the address of upstream.
        revisions: names of revisions, as for `fetch_revision`.

    Raises:
        FetchError: the address cannot be reached or does not have a revision.
    """
    address = _configure_remote(repository, address)
    commits = tuple(_resolve(repository, address, revision) for revision in revisions)
    try:
        _fetch(repository, REMOTE, *commits)
    except GitError as error:
        raise _failed(address, commits[-1], [error]) from error
    return commits


def fetch_missing(repository: Repository, address: str, blobs: Iterable[str]) -> None:
    """Fetch those of `blobs` that `repository` lacks; nothing is requested if there are none.

    Raises:
        FetchError: the address cannot be reached or does not have a blob.
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
    """Fetch blobs from `REMOTE` in one request."""
    ids = "\n".join(sorted(blobs))
    if ids:
        # The host need not learn which commits we have.
        config = ("-c", "fetch.negotiationAlgorithm=noop")
        _fetch(repository, "--stdin", REMOTE, config=config, stdin=ids.encode())


def _fetch(
    repository: Repository,
    *what: str,
    without: str = "blob:none",
    config: tuple[str, ...] = (),
    stdin: bytes = b"",
) -> None:
    """Fetch from `REMOTE`, without the objects that a filter leaves out if the host can filter."""
    with _reported(repository):
        try:
            repository.run(*config, *_FETCH, f"--filter={without}", *what, stdin=stdin)
        except GitError as error:
            if b"filter" not in error.stderr:
                raise
            # The host has filters, but not this one. git would ask for it again by itself.
            repository.run(*config, *_FETCH, "--no-filter", *what, stdin=stdin)


def _resolve(repository: Repository, address: str, revision: str) -> str:
    """Return the commit id of `revision` at `address`; only full names match."""
    if _COMMIT.fullmatch(revision):
        return revision.lower()
    address = _configure_remote(repository, address)
    try:
        # List everything: a pattern given to git would match the ends of names, and globs.
        with _reported(repository):
            listing = repository.out("ls-remote", "--", REMOTE, seconds=_TIMEOUT)
    except GitError as error:
        raise _failed(address, revision, [error]) from error
    # Names may contain what Python takes for spaces and line ends, such as U+3000 and U+2028.
    there = {name: commit for commit, _, name in (it.partition("\t") for it in listing.split("\n"))}
    if any(len(commit) > len(ABSENT) for commit in there.values()):
        raise FetchError(f"{address} is a repository with SHA-256 ids", remedy=_CONVERT)
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
            f"{address} has both a branch and a tag {revision!r}, at different commits",
            remedy=f"Use one of: {', '.join(found)}.",
        )
    if found:
        return next(iter(found.values()))
    commits = _complete(address, revision) if _ABBREVIATION.fullmatch(revision) else []
    if len(commits) != 1:
        what = f"{len(commits)} commits that start with" if commits else "no branch, tag or commit"
        raise FetchError(
            f"{address} has {what} {revision!r}",
            remedy="Use a branch or tag that `git ls-remote` lists, or a commit id.",
        )
    return commits[0]


def _complete(address: str, abbreviation: str) -> list[str]:
    """Return upstream's commits whose ids start with `abbreviation`.

    A host cannot complete an id, so the ids of all commits on its branches are fetched.
    """
    with temporary_repository() as commits:
        _configure_remote(commits, address)
        try:
            _fetch(commits, REMOTE, _BRANCHES, without="tree:0")
        except GitError as error:
            raise _failed(address, abbreviation, [error]) from error
        ids = commits.out("rev-list", "--all").splitlines()
    return [commit for commit in ids if commit.startswith(abbreviation.lower())]


def _reported(repository: Repository) -> AbstractContextManager[object]:
    """Report a task while git contacts `REMOTE`, unless ssh may ask for a passphrase there."""
    # As the user's settings rewrite it.
    address = repository.out("ls-remote", "--get-url", REMOTE).strip()
    if not _WITHOUT_SSH.match(address):
        return nullcontext()
    return task(f"fetching from {redact(address)}")


def _configure_remote(repository: Repository, address: str) -> Address:
    """Point `REMOTE` to `address`, and return it checked. Secrets are written to no file."""
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
    """Refuse a host that speaks only the "dumb" HTTP protocol.

    It can neither leave out blobs nor send a single commit, and git would start one process for
    each blob that a partial clone lacks.

    Raises:
        FetchError: the host speaks only this protocol, or cannot be reached.
    """
    trace = {"GIT_TRACE_PACKET": "1"}
    try:
        with _reported(repository):
            asked = repository.run("ls-remote", "--", REMOTE, "HEAD", env=trace, seconds=_TIMEOUT)
    except GitError as error:
        without = re.sub(rb"(?m)^.*\bpacket: .*\n?", b"", error.stderr)
        raise FetchError(
            f"{address} could not be reached: {_shown(without)}", remedy=_remedy([error])
        ) from error
    # Only git's own protocol consists of packets.
    if b"packet:" not in asked.stderr:
        raise FetchError(
            f"{address} serves a repository as plain files, which does not allow partial fetches",
            remedy="Clone it with git, then use the clone: --upstream PATH, or "
            "MFN_PATCH_UPSTREAM=PATH.",
        )


def _secrets(address: Address) -> dict[str, str]:
    """Return environment variables that give git the secrets of `address`.

    Every user of the machine can read command lines, and files outlive the command.
    """
    if address.url == address:
        return {}
    if version() < _FOR_SECRETS:
        raise AddressError(
            "this version of git cannot be given the password of an address safely",
            remedy="Install git 2.31 or later, or set up a credential helper.",
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


def _failed(address: str, commit: str, errors: list[GitError]) -> FetchError:
    reason = f"{address} does not have the commit {commit}"
    if errors:
        said = _shown(errors[0].stderr)
        reason = f"commit {commit[:12]} could not be fetched from {address}: {said}"
    return FetchError(reason, remedy=_remedy(errors))


def _shown(stderr: bytes) -> str:
    return " / ".join(filter(None, redact(stderr.decode(errors="replace")).splitlines()))


def _remedy(errors: list[GitError]) -> str:
    said = b" ".join(error.stderr for error in errors)
    if b"dubious ownership" in said:
        return (
            "The repository belongs to another user. If you trust it, run the command that git "
            "suggests: git config --global --add safe.directory <path>."
        )
    if b"mismatched algorithms" in said:
        return _CONVERT
    return remedy_for(said.decode(errors="replace")) or (
        "Check the network and the address, or use a clone or mirror: "
        "--upstream PATH, or MFN_PATCH_UPSTREAM=PATH."
    )
